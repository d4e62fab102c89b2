-- Takes ended sessions out of the indexes of a sandbox in this bucket, and notes when the next one ends.
-- KEYS[1] deadlines: handle -> end in ms
-- KEYS[2] users: handle -> hash of its user
-- KEYS[3] sandboxes: sandbox -> its earliest end in ms
-- ARGV[1] sandbox: its name
-- ARGV[2] limit: of sessions in one call
-- Reply: OK number
--- @include "now"
--- @include "unindex"
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, handle in ipairs(due) do unindex(KEYS[1], KEYS[2], handle) end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local noted = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not first[2] then
  if noted then redis.call('ZREM', KEYS[3], ARGV[1]) end
elseif noted ~= first[2] then
  -- At full memory the old note stays: it is early, never late.
  redis.pcall('ZADD', KEYS[3], first[2], ARGV[1])
end
return {OK, #due}
