-- Leave a pointer to the session that replaces an old id: for the grace period, and for operations on grants until the last
-- grant that was given under the old id expires.
-- This is a block like `alive`. Reads these locals of the including script: key, now, deadline, grace, successor, and
-- last_grant (ms, or nil).
local pointer_expiry, last = grace > 0 and math.min(deadline, now + grace) or 0, last_grant or 0
if math.max(pointer_expiry, last) > now then
  redis.call('HSET', key, 'r', successor, 'd', pointer_expiry)
  if last > now then redis.call('HSET', key, 'p', last) end
  redis.call('PEXPIREAT', key, math.max(pointer_expiry, last))
end
