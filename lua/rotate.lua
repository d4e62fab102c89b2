-- Rotate a session to a new id in the same bucket; the old id points to it for a grace period and is then invalid, except for
-- its grants. At login, the session starts a new lifetime without grants.
-- KEYS[1] old: the record under the old id
-- KEYS[2] new: the record under the new id
-- KEYS[3] deadlines: handle -> when the session expires, ms
-- KEYS[4] users: handle -> hash of its user
-- KEYS[5] old_operations: operation id -> ms until which it counts; of the old id
-- KEYS[6] new_operations: operation id -> ms until which it counts; of the new id
-- KEYS[7] events: the stream of this bucket
-- KEYS[8] sandboxes: sandbox -> when its first session in this bucket expires, ms; left out except at login
-- ARGV[1] old: handle
-- ARGV[2] new: handle
-- ARGV[3] grace: ms for which all operations follow the pointer; 0 means none
-- ARGV[4] created: rotate only a session created at this time, ms; empty means any
-- ARGV[5] sandbox: its name
-- ARGV[6] ttl: ms; left out, like the following, except at login
-- ARGV[7] latest: the latest deadline allowed, ms; a later one becomes this one
-- ARGV[8] idle: idle timeout, ms; 0 means none
-- ARGV[9] retention: ms that a record outlives its session
-- ARGV[10] events: most events that the stream may have; 0 means that the session emits none
-- ARGV[11..] rest: names of the fields that a login keeps, or the first two characters of the names
-- Reply: OK | GONE | MOVED handle (the old id was rotated before)
--- @include "now"
--- @include "open"
--- @include "index_score"
--- @include "unindex"
local old, new, deadlines, users, events, login, sandbox = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[7], KEYS[8], ARGV[5]
-- A retry after a lost reply finds the rotation done: no other caller can know the new id.
local _, rotated = open(new, now)
if rotated then return OK end
local reply, expiry, deadline, _, _, created, version, emits, owner, salt = open(old, now, 'c', 'v', 'e', 'u', 's')
if reply then return reply end
if ARGV[4] ~= '' and ARGV[4] ~= created then return GONE end
if login and not parse_int(version) then return CORRUPT end
-- The events come first, so that full memory refuses the rotation together with them.
if emits then
  local letter, handle, pointer, most = login and 'p' or 'r', ARGV[1], ARGV[2], emits
--- @paste "emit"
end
if login then
  local ttl, latest, idle, retention, most, first = ARGV[6], ARGV[7] - 0, ARGV[8] - 0, ARGV[9], ARGV[10], 11
--- @include "start_lifetime"
else
  redis.call('COPY', old, new, 'REPLACE')
  redis.call('HDEL', new, 't')
end
redis.call('ZADD', deadlines, index_score(expiry, emits), ARGV[2])
local user = redis.call('ZSCORE', users, ARGV[1])
if user then redis.call('ZADD', users, user, ARGV[2]) end
if redis.call('ZCARD', KEYS[5]) > 0 then redis.call('RENAME', KEYS[5], KEYS[6]) end
redis.call('DEL', old)
unindex(deadlines, users, ARGV[1])
local key, successor, grace = old, ARGV[2], tonumber(ARGV[3])
-- A login ends the grants.
local last_grant = not login and parse_int(redis.call('HGET', new, 'p'))
--- @include "leave_pointer"
return OK
