-- Rotate a session to a new id in the same bucket; the old id points to it for a grace period and is then invalid. At login,
-- the session starts a new lifetime.
-- KEYS[1] old: the record under the old id
-- KEYS[2] new: the record under the new id
-- KEYS[3] deadlines: handle -> when the session expires, ms
-- KEYS[4] users: handle -> hash of its user
-- KEYS[5] old_operations: operation id -> ms until which it counts; of the old id
-- KEYS[6] new_operations: operation id -> ms until which it counts; of the new id
-- KEYS[7] sandboxes: sandbox -> when its first session in this bucket expires, ms; left out except at login
-- ARGV[1] old: handle
-- ARGV[2] new: handle
-- ARGV[3] grace: ms; 0 means none
-- ARGV[4] created: rotate only a session created at this time, ms; empty means any
-- ARGV[5] sandbox: its name; left out, like the following, except at login
-- ARGV[6] ttl: ms
-- ARGV[7] latest: the latest deadline allowed, ms; a later one becomes this one
-- ARGV[8] idle: idle timeout, ms; 0 means none
-- ARGV[9] retention: ms that a record outlives its session
-- ARGV[10] events: 1 means that the session emits events
-- ARGV[11..] rest: names of the fields that a login keeps, or the first two characters of the names
-- Reply: OK | GONE | MOVED handle (the old id was rotated before)
--- @include "now"
--- @include "open"
--- @include "index_score"
--- @include "hdel_all"
--- @include "unindex"
-- A retry after a lost reply finds the rotation done: no other caller can know the new id.
local _, rotated = open(KEYS[2], now)
if rotated then return OK end
local reply, expiry, deadline, _, _, created, version, emits = open(KEYS[1], now, 'c', 'v', 'e')
if reply then return reply end
if ARGV[4] ~= '' and ARGV[4] ~= created then return GONE end
version = parse_int(version)
if KEYS[7] and not version then return CORRUPT end
redis.call('COPY', KEYS[1], KEYS[2], 'REPLACE')
if KEYS[7] then
  local kept, dropped, idle = {}, {}, tonumber(ARGV[8])
  for index = 11, #ARGV do kept[ARGV[index]] = true end
  for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
    if not kept[string.sub(field, 1, 2)] then dropped[#dropped + 1] = field end
  end
  hdel_all(KEYS[2], dropped)
  deadline = math.min(now + ARGV[6], tonumber(ARGV[7]))
  expiry = idle > 0 and math.min(deadline, now + idle) or deadline
  redis.call('HSET', KEYS[2], 'c', now, 'd', deadline, 'a', now, 'v', version + 1)
  if idle > 0 then redis.call('HSET', KEYS[2], 'i', idle) end
  emits = ARGV[10] == '1'
  if emits then redis.call('HSET', KEYS[2], 'e', 1) end
  redis.call('PEXPIREAT', KEYS[2], expiry + ARGV[9])
  redis.call('ZADD', KEYS[7], 'LT', index_score(expiry, emits), ARGV[5])
end
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
