--- @include "index_score"
-- Move a session's deadline: in its record, in the index, and in the expiry of the record's key. That changes the version.
-- The write of the record comes first, so that full memory refuses everything.
local function move_deadline(key, deadlines, handle, version, deadline, accessed, idle, retention, emits)
  local expiry = idle and math.min(deadline, accessed + idle) or deadline
  redis.call('HSET', key, 'd', deadline, 'v', version)
  redis.call('PEXPIREAT', key, expiry + retention)
  redis.call('ZADD', deadlines, index_score(expiry, emits), handle)
end
