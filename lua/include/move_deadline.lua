--- @include "index_score"
-- Move a session's deadline: in its record, in the index, and in the expiry of the record's key. That changes the version.
-- The write of the record comes first, so that full memory refuses everything. A deadline that may become earlier needs the
-- index of sandboxes, too.
local function move_deadline(
  key, deadlines, sandboxes, handle, sandbox, version, deadline, accessed, idle, retention, emits
)
  local expiry = idle and math.min(deadline, accessed + idle) or deadline
  redis.call('HSET', key, 'd', deadline, 'v', version)
  redis.call('PEXPIREAT', key, expiry + retention)
  local score = index_score(expiry, emits)
  redis.call('ZADD', deadlines, score, handle)
  if sandboxes then redis.call('ZADD', sandboxes, 'LT', score, sandbox) end
end
