-- Adds to a metadata value that is a whole number, up to a ceiling.
-- KEYS[1] session: the record
-- KEYS[2] operations: operation id -> ms until which it counts; left out without an operation
-- ARGV[1] field: of the counter
-- ARGV[2] amount: whole number, may be negative
-- ARGV[3] ceiling: an addition that would pass it is left out; empty means none
-- ARGV[4] limit: most bytes that the session may have
-- ARGV[5] operation: id under which this is applied once; empty means none
-- ARGV[6] window: ms for which that id is remembered
-- Reply: OK value | CEILING value | GONE | MOVED handle | NOT_A_COUNTER | TOO_LARGE size
--- @include "now"
--- @include "open"
local key, field, operation = KEYS[1], ARGV[1], ARGV[5]
local ends, answer, _, _, version, stored = open(key, now, 'v', field)
if not ends then return answer end
version = plain(version)
if not version then return CORRUPT end
local text = stored or '0'
local value = string.find(text, '^%-?%d+$') and #text <= 17 and tonumber(text)
if not value or math.abs(value) > 9007199254740991 then return NOT_A_COUNTER end
if operation ~= '' then
--- @include "applied"
  if applied(KEYS[2], operation, now) then return {OK, value} end
end
local amount, ceiling = tonumber(ARGV[2]), tonumber(ARGV[3])
local sum = value + amount
if ceiling and amount > 0 and sum > ceiling then return {CEILING, value} end
if math.abs(sum) > 9007199254740991 then return NOT_A_COUNTER end
-- Only a counter that is new or gets longer can change the size.
if stored and sum < 10 ^ #text and -sum < 10 ^ (#text - 1) then
  redis.call('HSET', key, field, sum, 'v', version + 1)
else
--- @include "measure"
  local bound, limit = plain(redis.call('HGET', key, 'z')) or math.huge, tonumber(ARGV[4])
  local size = measure(key, bound, limit, {field, string.format('%.0f', sum)}, 1, {})
  if size > limit then return {TOO_LARGE, size} end
  redis.call('HSET', key, field, sum, 'v', version + 1, 'z', size)
end
if operation ~= '' then
--- @include "remember"
  remember(KEYS[2], operation, now, ARGV[6])
  -- No id counts longer than this one.
  redis.call('PEXPIREAT', KEYS[2], now + ARGV[6])
end
return {OK, sum}
