-- Count a request against a rate limit, by the generic cell rate algorithm. This is not an access.
-- KEYS[1] session: the record
-- KEYS[2] operations: operation id -> ms until which it counts; left out without an operation
-- ARGV[1] field: of the limit; its value is the theoretical arrival time of the next request, in units of 10 µs since 1970
-- ARGV[2] cost: units by which the request moves that time
-- ARGV[3] capacity: most units from now until that time
-- ARGV[4] limit: most bytes that the session may have
-- ARGV[5] operation: id under which this is applied once; empty means none
-- ARGV[6] window: ms for which that id is remembered
-- Reply: OK units (from now until that time) | CEILING units (refused) | GONE | MOVED handle | TOO_LARGE size
--- @include "now"
--- @include "open"
local key, field, operation = KEYS[1], ARGV[1], ARGV[5]
local reply, _, _, _, _, stored = open(key, now, field)
if reply then return reply end
local clock, arrival = now * 100, parse_int(stored)
if stored and not arrival then return CORRUPT end
local backlog = arrival and math.max(arrival - clock, 0) or 0
if operation ~= '' then
--- @include "applied"
  if applied(KEYS[2], operation, now) then return {OK, backlog} end
end
local total = backlog + ARGV[2]
if total > tonumber(ARGV[3]) then return {CEILING, backlog} end
local text = string.format('%.0f', clock + total)
-- Only a limit that is new or gets longer can change the size.
if stored and #text <= #stored then
  redis.call('HSET', key, field, text)
else
--- @include "measure"
  local bound, limit = parse_int(redis.call('HGET', key, 'z')) or math.huge, tonumber(ARGV[4])
  local size = measure(key, bound, limit, {field, text}, 1, {})
  if size > limit then return {TOO_LARGE, size} end
  redis.call('HSET', key, field, text, 'z', size)
end
if operation ~= '' then
--- @include "remember"
  remember(KEYS[2], operation, now, ARGV[6])
  -- No id counts longer than this one.
  redis.call('PEXPIREAT', KEYS[2], now + ARGV[6])
end
return {OK, total}
