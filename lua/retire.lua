-- Remove a reader from this bucket. It no longer keeps events, and a process that still reads for it loses its lease.
-- KEYS[1] readers: the state of each reader, see `core/reader_operations.py`
-- ARGV[1] reader: its name
-- Reply: OK | GONE
local name = ARGV[1]
local fields = {'c' .. name, 'n' .. name, 'l' .. name, 'o' .. name, 'f' .. name, 'u' .. name, 'w' .. name}
if redis.call('HDEL', KEYS[1], unpack(fields)) == 0 then return GONE end
return OK
