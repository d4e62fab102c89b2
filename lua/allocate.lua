-- Create a session; or touch, refuse, or replace the one that exists.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> when the session expires, ms; of this bucket and sandbox
-- KEYS[3] users: handle -> hash of its user; of this bucket and sandbox
-- KEYS[4] sandboxes: sandbox -> when its first session in this bucket expires, ms
-- KEYS[5..] victims: record and operation ids of each session that the cap may evict; then, if the id may have been in use
-- before, its operation ids; then, with an operation, the creations: operation id -> ms until which it counts
-- ARGV[1] handle: of the session
-- ARGV[2] sandbox: its name
-- ARGV[3] ttl: ms
-- ARGV[4] deadline: absolute, ms; 0 means now plus the ttl
-- ARGV[5] idle: idle timeout, ms; 0 means none
-- ARGV[6] owner: user id, or its keyed hash, see `compare_owner`; empty means no owner
-- ARGV[7] user: hash of the user, a whole number below 2^52
-- ARGV[8] cap: most sessions that the user may have in this sandbox; 0 means any number
-- ARGV[9] retention: ms that a record outlives its session
-- ARGV[10] create: 0 means only a session that exists
-- ARGV[11] mode: for a session that exists: touch (if its owner is the same), create (refuse), or replace
-- ARGV[12] operation: id under which this creates or replaces once; empty means none
-- ARGV[13] window: ms for which that id is remembered
-- ARGV[14] events: 1 means that the session emits events
-- ARGV[15] other_owner: another form of the user that records may have; empty means none
-- ARGV[16] other_user: hash of the user that goes with it
-- ARGV[17] victims: their number
-- ARGV[18..] rest: the victims' handles, then field, value pairs
-- Reply: CREATED, or CREATED {handle...} {handle...} with 16 expired sessions to sweep, see `list_expired` | EXISTS | GONE
-- Reply: MOVED handle | OTHER_OWNER | OTHER_ENCODING | FULL {handle...} (the user's sessions, at most 32 more than the cap)
--- @include "now"
--- @include "open"
--- @include "index_score"
--- @include "remove_sessions"
local key, deadlines, users, sandboxes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local handle, sandbox, owner, user, mode, operation = ARGV[1], ARGV[2], ARGV[6], ARGV[7], ARGV[11], ARGV[12]
local new_idle, cap, retention, victims = tonumber(ARGV[5]), tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[17])
local operations, creations = KEYS[5 + 2 * victims], KEYS[5 + 2 * victims + 1]
local other_owner, other_user = ARGV[15], ARGV[16]
if operation ~= '' then
--- @include "applied"
  if applied(creations, operation, now) then return CREATED end
end
local reply, _, deadline, _, idle, current_owner, emits = open(key, now, 'u', 'e')
local created, version, evicted = now, 1, {}
if not reply and mode == 'replace' then
--- @include "succeed"
  created, version = succeed(key, now)
  if not version then return CORRUPT end
elseif not reply then
  if mode == 'create' then return EXISTS end
  if owner ~= '' and owner ~= current_owner then
--- @include "compare_owner"
    local difference = compare_owner(key, current_owner, owner, other_owner)
    if difference then return difference end
  end
--- @include "touch"
  return EXISTS
elseif reply ~= GONE or ARGV[10] == '0' then
  return reply
end
if cap > 0 then
--- @include "make_room"
end

deadline = ARGV[4] == '0' and now + ARGV[3] or tonumber(ARGV[4])
if deadline <= now then return GONE end
emits = ARGV[14] == '1'
local expiry = new_idle > 0 and math.min(deadline, now + new_idle) or deadline
local score, fields = index_score(expiry, emits), {'c', created, 'd', deadline, 'a', now, 'v', version}
if owner ~= '' then fields[#fields + 1] = string.byte(owner) == 255 and 'h' or 'u'; fields[#fields + 1] = owner end
if new_idle > 0 then fields[#fields + 1] = 'i'; fields[#fields + 1] = new_idle end
if emits then fields[#fields + 1] = 'e'; fields[#fields + 1] = 1 end
for index = 18 + victims, #ARGV do fields[#fields + 1] = ARGV[index] end
--- @include "overwrite"
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
remove_sessions(evicted, deadlines, users)
if not redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 15, 1)[1] then return CREATED end
--- @include "list_expired"
return {CREATED, list_expired(deadlines, now, 16)}
