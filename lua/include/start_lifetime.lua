--- @include "index_score"
--- @include "hdel_all"
-- Copy a session to its new id, and start a new lifetime there: without the fields that a login drops.
-- This is a block that is pasted where it is included, not a function. Reads these locals of the including script: now, old,
-- new, events, sandbox, login, version, owner, salt, ttl, latest, idle, retention, most, and `first`, the index in ARGV of the
-- first field to keep. Sets these: deadline, expiry, emits.
local kept, dropped = {}, {}
deadline, emits = math.min(now + ttl, latest), most ~= '0'
expiry = idle > 0 and math.min(deadline, now + idle) or deadline
if emits then
  local handle, described, created, lifetime = ARGV[2], 'l' .. version + 1, now, deadline - now
--- @paste "add_event"
end
redis.call('COPY', old, new, 'REPLACE')
for index = first, #ARGV do kept[ARGV[index]] = true end
for _, field in ipairs(redis.call('HKEYS', new)) do
  if not kept[string.sub(field, 1, 2)] then dropped[#dropped + 1] = field end
end
hdel_all(new, dropped)
redis.call('HSET', new, 'c', now, 'd', deadline, 'a', now, 'v', version + 1)
if idle > 0 then redis.call('HSET', new, 'i', idle) end
if emits then redis.call('HSET', new, 'e', most) end
redis.call('PEXPIREAT', new, expiry + retention)
redis.call('ZADD', login, 'LT', index_score(expiry, emits), sandbox)
