-- Move the cursor of a reader in this bucket, and renew or release its lease. An outdated fence cannot do that, nor can a
-- cursor that the store does not know, because it has lost writes in a failover.
-- KEYS[1] readers: the state of each reader, see `core/reader_operations.py`
-- KEYS[2] events: the events of this bucket
-- ARGV[1] reader: its name
-- ARGV[2] owner: the process
-- ARGV[3] fence: of its claim
-- ARGV[4] lease: ms; 0 releases the lease
-- ARGV[5] from: the cursor as the process stored it last
-- ARGV[6] cursor: the new one; it may be the same
-- ARGV[7] read: number of events from one to the other
-- ARGV[8] ahead: number of events that the process has received after the new cursor
-- Reply: OK missed (the number of events that the cap has removed before this reader received them) | GONE
--- @include "now"
--- @include "is_after"
--- @include "stream_state"
local name, cursor = ARGV[1], ARGV[6]
local state = redis.call('HMGET', KEYS[1], 'o' .. name, 'f' .. name, 'c' .. name, 'n' .. name, 'l' .. name)
local last, added, gone = stream_state(KEYS[2])
if state[1] ~= ARGV[2] or state[2] ~= ARGV[3] or is_after(cursor, last) then return GONE end
local read = tonumber(state[4])
if state[3] == ARGV[5] then
  read = read + ARGV[7]
elseif state[3] ~= cursor then
  return GONE
end
-- This reader has missed events if it has received fewer than there were up to its cursor. Their number is known for the
-- last event. Otherwise, those that are gone are the oldest ones.
local missed = math.max(0, (cursor == last and added or gone) - read - ARGV[8])
-- At full memory, readers continue, because HDEL comes first. What they have read can be trimmed.
redis.call('HDEL', KEYS[1], 'u' .. name)
redis.call(
  'HSET', KEYS[1], 'c' .. name, cursor, 'n' .. name, read + missed, 'l' .. name, state[5] + missed,
  'u' .. name, now + ARGV[4], 'w' .. name, ARGV[4]
)
return {OK, missed}
