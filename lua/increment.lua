-- Add to a metadata value that is a whole number, up to a ceiling.
-- KEYS[1] session: the record
-- KEYS[2] operations: operation id -> ms until which it counts; left out without an operation and events
-- KEYS[3] events: the stream of this bucket; left out unless changes of metadata are events
-- ARGV[1] field: of the counter
-- ARGV[2] amount: whole number, may be negative
-- ARGV[3] ceiling: highest value to which a positive amount may lead; empty means none
-- ARGV[4] limit: most bytes that the session may have
-- ARGV[5] operation: id under which this is applied once; empty means none
-- ARGV[6] window: ms for which that id is remembered
-- ARGV[7] handle: of the session; left out like the events
-- ARGV[8] sandbox: its name; left out like the events
-- Reply: OK value | CEILING value | GONE | MOVED handle | NOT_A_COUNTER | ENCRYPTED | TOO_LARGE size
--- @include "now"
local key, field, operation = KEYS[1], ARGV[1], ARGV[5]
local stored = redis.pcall('HMGET', key, 'd', 'a', 'i', 'v', field)
local deadline, accessed, idle, version, counter = stored[1], stored[2], stored[3], stored[4], stored[5]
--- @include "alive"
if not version then return CORRUPT end
local digits = counter or '0'
local value = #digits <= 17 and string.find(digits, '^%-?%d+$') and digits + 0
if not value or math.abs(value) > 9007199254740991 then
  -- JSON text never begins with `E`.
  return string.sub(digits, 1, 1) == 'E' and ENCRYPTED or NOT_A_COUNTER
end
if operation ~= '' then
--- @include "applied"
  if applied(KEYS[2], operation, now) then return {OK, value} end
end
local total = value + ARGV[2]
if ARGV[3] ~= '' and total > value and total > tonumber(ARGV[3]) then return {CEILING, value} end
if math.abs(total) > 9007199254740991 then return NOT_A_COUNTER end
local size
-- Only a counter that is new or gets longer can change the size.
if not (counter and total < 10 ^ #digits and -total < 10 ^ (#digits - 1)) then
--- @include "measure"
  local bound, limit = parse_int(redis.call('HGET', key, 'z')) or math.huge, tonumber(ARGV[4])
  size = measure(key, bound, limit, {field, string.format('%.0f', total)}, 1, {})
  if size > limit then return {TOO_LARGE, size} end
end
local emits = KEYS[3] and redis.call('HGET', key, 'e')
version = version + 1
if emits then
  local events, sandbox, handle, letter, created, owner, salt = KEYS[3], ARGV[8], ARGV[7], 'u', nil, nil, nil
--- @paste "emit_change"
end
if size then
  redis.call('HSET', key, field, total, 'v', version, 'z', size)
else
  redis.call('HSET', key, field, total, 'v', version)
end
if operation ~= '' then
--- @include "remember"
  remember(KEYS[2], operation, now, ARGV[6])
  -- No id counts longer than this one.
  redis.call('PEXPIREAT', KEYS[2], now + ARGV[6])
end
return {OK, total}
