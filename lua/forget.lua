-- Remove notes that were not refreshed since they were read, and plan the next check of a user's notes.
-- KEYS[1] notes: bucket -> when its note was last refreshed, ms; of this user
-- KEYS[2] noted: sandbox and user -> when the user's notes are due for a check, ms
-- ARGV[1] user: sandbox, slash, and hash of the user
-- ARGV[2] recheck: ms until the next check if notes remain
-- ARGV[3..] rest: pairs of a bucket, and the time of its latest refresh as it was read, ms
-- Reply: OK
--- @include "now"
for index = 3, #ARGV, 2 do
  if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[index])) == tonumber(ARGV[index + 1]) then
    redis.call('ZREM', KEYS[1], ARGV[index])
  end
end
if redis.call('ZCARD', KEYS[1]) > 0 then
  -- At full memory the check stays due: it is early, never late.
  redis.pcall('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return OK
