-- Record an access now, and move the expiry of an idle session in its record and in the index.
-- This is a block like `alive`. Reads these locals of the including script: key, now, deadlines, handle, deadline, idle,
-- retention, emits. After a write, it sets `accessed`.
-- At full memory it writes nothing: the session stays as it was, and the script still replies that it is alive. The script
-- returns any other refusal, such as a replica's.
local written = redis.pcall('HSET', key, 'a', now)
if type(written) == 'table' then
  if not string.find(written.err, 'OOM', 1, true) then return written end
else
  accessed = now
  if idle then
    local expiry = math.min(deadline, now + idle)
--- @include "index_score"
    redis.call('ZADD', deadlines, index_score(expiry, emits), handle)
    redis.call('PEXPIREAT', key, expiry + retention)
  end
end
