-- Remove the events of this bucket that every known reader has read, except for the last one.
-- KEYS[1] readers: the state of each reader, see `core/reader_operations.py`
-- KEYS[2] events: the events of this bucket
-- Reply: OK number (of events that were removed)
--- @include "is_after"
local fields, slowest = redis.call('HGETALL', KEYS[1]), nil
for index = 1, #fields, 2 do
  local is_cursor = string.sub(fields[index], 1, 1) == 'c'
  if is_cursor and (not slowest or is_after(slowest, fields[index + 1])) then slowest = fields[index + 1] end
end
if not slowest then return {OK, 0} end
return {OK, redis.call('XTRIM', KEYS[2], 'MINID', slowest)}
