-- Marks an access now; an idle session's end moves with it, in the index too. At full memory the mark is left
-- out and nothing else is written: the session stays as it was, and the caller answers "alive" all the same.
-- Any other refusal (a replica's, say) is returned.
local function touch(key, deadlines, handle, deadline, idle, now, retention)
  local marked = redis.pcall('HSET', key, 'a', now)
  if type(marked) == 'table' then return not string.find(marked.err, 'OOM', 1, true) and marked or nil end
  if not idle then return nil end
  local ends = math.min(deadline, now + idle)
  redis.call('ZADD', deadlines, ends, handle)
  redis.call('PEXPIREAT', key, ends + retention)
  return nil
end
