--- @include "index_score"
--- @include "overwrite"
-- Write the record of a new session, and its index entries.
-- This is a block that is pasted where it is included, not a function. Reads these locals of the including script: key,
-- deadlines, users, sandboxes, handle, sandbox, owner, user, operation, operations, creations, victims, now, created,
-- version, deadline, expiry, new_idle, retention, emits.
local score, fields = index_score(expiry, emits), {'c', created, 'd', deadline, 'a', now, 'v', version}
if owner ~= '' then fields[#fields + 1] = 'u'; fields[#fields + 1] = owner end
if new_idle > 0 then fields[#fields + 1] = 'i'; fields[#fields + 1] = new_idle end
if emits then fields[#fields + 1] = 'e'; fields[#fields + 1] = ARGV[14] end
for index = 17 + victims, #ARGV do fields[#fields + 1] = ARGV[index] end
overwrite(key, fields)
if operations then redis.call('DEL', operations) end
if operation ~= '' then
--- @include "remember_creation"
  remember_creation(creations, operation, now, ARGV[13])
end
redis.call('PEXPIREAT', key, expiry + retention)
redis.call('ZADD', deadlines, score, handle)
if owner ~= '' then redis.call('ZADD', users, user, handle) else redis.call('ZREM', users, handle) end
redis.call('ZADD', sandboxes, 'LT', score, sandbox)
