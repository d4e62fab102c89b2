-- Set the expiry of a new session's record, and add the session to the indexes.
-- This is a block like `alive`. Reads these locals of the including script: key, deadlines, users, sandboxes, handle, sandbox,
-- user, owner, operations, expiry, retention, score. Sets `earliest`: no other session of the sandbox in this bucket expires before.
redis.call('PEXPIREAT', key, expiry + retention)
redis.call('ZADD', deadlines, score, handle)
if owner ~= '' then
  redis.call('ZADD', users, user, handle)
elseif operations then
  redis.call('ZREM', users, handle)
end
-- No session in the index of deadlines expires before this one.
local earliest = tonumber(redis.call('ZSCORE', sandboxes, sandbox) or math.huge)
if earliest > score then redis.call('ZADD', sandboxes, score, sandbox) end
