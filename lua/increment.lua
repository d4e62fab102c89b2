-- Adds to a metadata value that is a whole number, up to a ceiling.
-- KEYS[1] session: the record
-- ARGV[1] field: of the counter
-- ARGV[2] amount: whole number, may be negative
-- ARGV[3] ceiling: an addition that would pass it is left out; empty means none
-- ARGV[4] operation: id under which this is applied once; empty means none
-- ARGV[5] window: ms for which that id is remembered
-- Reply: OK value | CEILING value | GONE | MOVED handle | NOT_A_COUNTER
--- @include "now"
--- @include "open"
--- @include "once"
local key, field, operation = KEYS[1], ARGV[1], ARGV[4]
local ends, answer, _, _, version, text, till = open(key, now, 'v', field, 'o:' .. operation)
if not ends then return answer end
version, text = plain(version), text or '0'
if not version then return CORRUPT end
local value = string.find(text, '^%-?%d+$') and #text <= 17 and tonumber(text)
if not value or math.abs(value) > 9007199254740991 then return NOT_A_COUNTER end
if applied(till, now) then return {OK, value} end
local amount, ceiling = tonumber(ARGV[2]), tonumber(ARGV[3])
local sum = value + amount
if ceiling and amount > 0 and sum > ceiling then return {CEILING, value} end
if math.abs(sum) > 9007199254740991 then return NOT_A_COUNTER end
if operation == '' then
  redis.call('HSET', key, field, sum, 'v', version + 1)
else
  redis.call('HSET', key, field, sum, 'v', version + 1, 'o:' .. operation, now + ARGV[5])
  forget(key, now, operation)
end
return {OK, sum}
