-- Remove expired sessions of a sandbox in this bucket, list those to remove next, and note when the first one expires.
-- KEYS[1] deadlines: handle -> when the session expires, ms
-- KEYS[2] users: handle -> hash of its user
-- KEYS[3] sandboxes: sandbox -> when its first session in this bucket expires, ms
-- KEYS[4] events: the stream of this bucket
-- KEYS[5..] ended: record and operation ids of each session that the previous call listed
-- ARGV[1] sandbox: its name
-- ARGV[2] limit: most sessions to list
-- ARGV[3..] rest: handles of the sessions that the previous call listed
-- Reply: OK number {handle...} {handle...} (the number removed, and those to remove next, see `list_expired`)
--- @include "now"
--- @include "remove_sessions"
--- @include "list_expired"
-- Index entries and record are removed together. If the record were left until its TTL is over, and the clock stepped back,
-- it would be alive again without an index entry.
local expired = {}
for index = 1, #ARGV - 2 do
  local score = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2 + index]))
  if score and score <= now then
    expired[#expired + 1] = {ARGV[2 + index], KEYS[3 + 2 * index], KEYS[4 + 2 * index], score}
  end
end
remove_sessions(expired, KEYS[1], KEYS[2], KEYS[4], ARGV[1])
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local noted = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not first[2] then
  if noted then redis.call('ZREM', KEYS[3], ARGV[1]) end
elseif noted ~= first[2] then
  -- At full memory the old note stays: it is early, never late.
  redis.pcall('ZADD', KEYS[3], first[2], ARGV[1])
end
return {OK, #expired, list_expired(KEYS[1], now, ARGV[2])}
