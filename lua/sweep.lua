-- Removes ended sessions of a sandbox in this bucket, names those to remove next, and notes when the next one ends.
-- KEYS[1] deadlines: handle -> end in ms
-- KEYS[2] users: handle -> hash of its user
-- KEYS[3] sandboxes: sandbox -> its earliest end in ms
-- KEYS[4..] ended: record and operation ids of each session that the call before has named
-- ARGV[1] sandbox: its name
-- ARGV[2] limit: of sessions to name
-- ARGV[3..] rest: handles of the ended
-- Reply: OK number {handle...} (how many were removed, and which to name in the next call)
--- @include "now"
--- @include "remove"
-- Index entries and record go together: were the record left to its own end, it would be alive and in no index again
-- when the clock steps back.
local ended = {}
for index = 1, #ARGV - 2 do
  local ends = redis.call('ZSCORE', KEYS[1], ARGV[2 + index])
  if ends and tonumber(ends) <= now then 
    ended[#ended + 1] = {ARGV[2 + index], KEYS[2 + 2 * index], KEYS[3 + 2 * index]}
  end
end
remove(ended, KEYS[1], KEYS[2])
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local noted = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not first[2] then
  if noted then redis.call('ZREM', KEYS[3], ARGV[1]) end
elseif noted ~= first[2] then
  -- At full memory the old note stays: it is early, never late.
  redis.pcall('ZADD', KEYS[3], first[2], ARGV[1])
end
return {OK, #ended, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])}
