-- Record an access now, and move the expiry of an idle session in its record and in the index.
-- This is a block, not a function: creating a function costs a third of the write. It is pasted where it is included and
-- reads these locals of the script there: key, now, deadlines, handle, deadline, idle, retention.
-- At full memory it writes nothing: the session stays as it was, and the script still replies that it is alive. The script
-- returns any other refusal, such as a replica's.
local written = redis.pcall('HSET', key, 'a', now)
if type(written) == 'table' then
  if not string.find(written.err, 'OOM', 1, true) then return written end
elseif idle then
  local expiry = math.min(deadline, now + idle)
  redis.call('ZADD', deadlines, expiry, handle)
  redis.call('PEXPIREAT', key, expiry + retention)
end
