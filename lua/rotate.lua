-- Rotate a session to a new id in the same bucket; the old id points to it for a grace period and is then invalid.
-- KEYS[1] old: the record under the old id
-- KEYS[2] new: the record under the new id
-- KEYS[3] deadlines: handle -> when the session expires, ms
-- KEYS[4] users: handle -> hash of its user
-- KEYS[5] old_operations: operation id -> ms until which it counts; of the old id
-- KEYS[6] new_operations: operation id -> ms until which it counts; of the new id
-- ARGV[1] old: handle
-- ARGV[2] new: handle
-- ARGV[3] grace: ms; 0 means none
-- ARGV[4] created: rotate only a session created at this time, ms; empty means any
-- Reply: OK | GONE | MOVED handle (the old id was rotated before)
--- @include "now"
--- @include "open"
--- @include "index_score"
--- @include "unindex"
-- A retry after a lost reply finds the rotation done: no other caller can know the new id.
local _, rotated = open(KEYS[2], now)
if rotated then return OK end
local reply, expiry, deadline, _, _, created, emits = open(KEYS[1], now, 'c', 'e')
if reply then return reply end
if ARGV[4] ~= '' and ARGV[4] ~= created then return GONE end
redis.call('COPY', KEYS[1], KEYS[2], 'REPLACE')
redis.call('ZADD', KEYS[3], index_score(expiry, emits), ARGV[2])
local user = redis.call('ZSCORE', KEYS[4], ARGV[1])
if user then redis.call('ZADD', KEYS[4], user, ARGV[2]) end
if redis.call('ZCARD', KEYS[5]) > 0 then redis.call('RENAME', KEYS[5], KEYS[6]) end
redis.call('DEL', KEYS[1])
unindex(KEYS[3], KEYS[4], ARGV[1])
local grace = tonumber(ARGV[3])
if grace > 0 then
  local pointer_expiry = math.min(deadline, now + grace)
  redis.call('HSET', KEYS[1], 'r', ARGV[2], 'd', pointer_expiry)
  redis.call('PEXPIREAT', KEYS[1], pointer_expiry)
end
return OK
