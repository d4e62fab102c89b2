-- Marks an access now, in the midst of a script that has `key`, `deadlines`, `handle`, `deadline`, `idle` and
-- `retention`; an idle session's end moves with it, in the index too. At full memory the mark is left out and nothing else
-- is written: the session stays as it was, and the caller answers "alive" all the same. Any other refusal (a replica's,
-- say) is returned. This is no function, as making one costs as much as a third of the write.
local marked = redis.pcall('HSET', key, 'a', now)
if type(marked) == 'table' then
  if not string.find(marked.err, 'OOM', 1, true) then return marked end
elseif idle then
  local ends = math.min(deadline, now + idle)
  redis.call('ZADD', deadlines, ends, handle)
  redis.call('PEXPIREAT', key, ends + retention)
end
