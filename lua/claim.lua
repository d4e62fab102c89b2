-- Claim the lease of a reader on this bucket, unless another process holds it. A new fence invalidates the earlier ones.
-- KEYS[1] readers: the state of each reader, see `core/reader_operations.py`
-- KEYS[2] events: the events of this bucket
-- ARGV[1] reader: its name
-- ARGV[2] owner: the process
-- ARGV[3] lease: ms
-- ARGV[4] newest: 1 if a new reader begins after the newest event, 0 if it begins with the oldest one
-- Reply: OK fence cursor | HELD ms (the time that is left of the lease)
--- @include "now"
--- @include "stream_state"
local name = ARGV[1]
local state = redis.call('HMGET', KEYS[1], 'o' .. name, 'u' .. name, 'w' .. name, 'f' .. name, 'c' .. name)
local owner, left, fence, cursor = state[1], tonumber(state[2] or 0) - now, tonumber(state[4] or 0) + 1, state[5]
-- A lease with more time left than it was granted for is left over from before the clock stepped back.
if owner and owner ~= ARGV[2] and left > 0 and left <= tonumber(state[3]) then return {HELD, left} end
if not cursor then
  local last, added, gone = stream_state(KEYS[2])
  cursor = ARGV[4] == '1' and last or '0-0'
  redis.call('HSET', KEYS[1], 'c' .. name, cursor, 'n' .. name, ARGV[4] == '1' and added or gone, 'l' .. name, 0)
end
-- At full memory, a process can take over from another one, because HDEL comes first.
redis.call('HDEL', KEYS[1], 'o' .. name)
redis.call('HSET', KEYS[1], 'o' .. name, ARGV[2], 'f' .. name, fence, 'u' .. name, now + ARGV[3], 'w' .. name, ARGV[3])
return {OK, fence, cursor}
