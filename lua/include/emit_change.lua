-- Write an event of a live session that is about to change. It is the first write of the script, so that the change and its
-- event are refused together.
-- This is a block like `emit`. Reads these locals of the including script: key, events, sandbox, handle, letter, deadline,
-- version (after the change), created, owner, salt, emits. Without a creation time, it reads the record.
do
  local created, owner, salt, most, pointer, version = created, owner, salt, emits, false, string.format('%.0f', version)
  if not created then created, owner, salt = unpack(redis.call('HMGET', key, 'c', 'u', 's'), 1, 3) end
--- @paste "emit"
end
