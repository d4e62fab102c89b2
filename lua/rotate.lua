-- Gives a session a new id in the same bucket. The old id points to it for a grace period and is nothing then.
-- KEYS[1] old: the record under the old id
-- KEYS[2] new: the record under the new id
-- KEYS[3] deadlines: handle -> end in ms
-- KEYS[4] users: handle -> hash of its user
-- KEYS[5] old_operations: operation id -> ms until which it counts, of the old id
-- KEYS[6] new_operations: the same of the new id
-- ARGV[1] old: handle
-- ARGV[2] new: handle
-- ARGV[3] grace: ms; 0 means none
-- Reply: OK | GONE | MOVED handle (the old id was rotated before)
--- @include "now"
--- @include "open"
--- @include "unindex"
-- A repeat after a lost reply finds its own work done: nobody else can know the new id.
if open(KEYS[2], now) then return OK end
local ends, deadline = open(KEYS[1], now)
if not ends then return deadline end
redis.call('COPY', KEYS[1], KEYS[2], 'REPLACE')
redis.call('ZADD', KEYS[3], ends, ARGV[2])
local user = redis.call('ZSCORE', KEYS[4], ARGV[1])
if user then redis.call('ZADD', KEYS[4], user, ARGV[2]) end
if redis.call('ZCARD', KEYS[5]) > 0 then redis.call('RENAME', KEYS[5], KEYS[6]) end
redis.call('DEL', KEYS[1])
unindex(KEYS[3], KEYS[4], ARGV[1])
local grace = tonumber(ARGV[3])
if grace > 0 then
  local honoured = math.min(deadline, now + grace)
  redis.call('HSET', KEYS[1], 'r', ARGV[2], 'd', honoured)
  redis.call('PEXPIREAT', KEYS[1], honoured)
end
return OK
