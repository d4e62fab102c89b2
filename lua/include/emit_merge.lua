-- Write the events of a merge: of the change of metadata, on request, and of the deadline, if it moves.
-- This is a block that is pasted where it is included, not a function. Reads these locals of the including script: key,
-- events, sandbox, handle, emits, updates, ttl, now, version (after the change), deadline.
local created, owner, salt = unpack(redis.call('HMGET', key, 'c', 'u', 's'), 1, 3)
if updates then
  local letter = 'u'
--- @paste "emit_change"
end
if ttl then
  local letter, deadline = 'x', now + ttl
--- @paste "emit_change"
end
