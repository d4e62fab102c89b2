-- Note that a user may have strays in a bucket, or refresh the note. It is written before the first stray is created.
-- KEYS[1] notes: bucket -> when its note was last refreshed, ms; of this user
-- KEYS[2] noted: sandbox and user -> when the user's notes are due for a check, ms
-- ARGV[1] user: sandbox, slash, and hash of the user
-- ARGV[2] bucket: two hex digits
-- ARGV[3] age: ms without a refresh after which a note may be removed
-- Reply: OK
--- @include "now"
local refreshed = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2]) or 0)
-- Each refresh changes the time, even if the clock stepped back, because `forget` compares it.
redis.call('ZADD', KEYS[1], math.max(now, refreshed + 1), ARGV[2])
redis.call('ZADD', KEYS[2], 'LT', now + ARGV[3], ARGV[1])
return OK
