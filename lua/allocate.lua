-- Create a session; or touch, refuse, or replace the one that exists.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> when the session expires, ms; of this bucket and sandbox
-- KEYS[3] users: handle -> hash of its user; of this bucket and sandbox
-- KEYS[4] sandboxes: sandbox -> when its first session in this bucket expires, ms
-- KEYS[5] events: the stream of this bucket
-- KEYS[6..] victims: record and operation ids of each session that the cap may evict; then, if the id may have been in use
-- before, its operation ids; then, with an operation, the creations: operation id -> ms until which it counts
-- ARGV[1] handle: of the session
-- ARGV[2] sandbox: its name
-- ARGV[3] lifetime: ms from now on; a negative number is the absolute deadline with a minus
-- ARGV[4] idle: idle timeout, ms; 0 means none
-- ARGV[5] user: hash of the user, a whole number below 2^52
-- ARGV[6] cap: most sessions that the user may have in this sandbox; 0 means any number
-- ARGV[7] retention: ms that a record outlives its session
-- ARGV[8] events: most events that the stream may have; 0 means that the session emits none
-- ARGV[9] options: 1 means that all of the following ones are given; 0 that all are left out
-- ARGV[10] create: 0 means only a session that exists; left out, it is 1
-- ARGV[11] mode: for a session that exists: touch (if its owner is the same), create (refuse), or replace; left out, it is touch
-- ARGV[12] operation: id under which this creates or replaces once; empty, or left out, means none
-- ARGV[13] window: ms for which that id is remembered
-- ARGV[14] start: letter of its first event; empty means that another event tells of the session; left out, it is `c`
-- ARGV[15] other_owner: another form of the user that records may have, see `compare_owner`; empty, or left out, means none
-- ARGV[16] other_user: hash of the user that goes with it
-- ARGV[17] victims: their number
-- ARGV[18..] rest: the victims' handles, then field, value pairs: first that of the owner (`u` or `h`), if there is one; without
-- options, this begins at ARGV[10]
-- Reply: CREATED, or CREATED {handle...} {handle...} with 16 expired sessions to sweep, see `list_expired` | EXISTS | GONE
-- Reply: MOVED handle | OTHER_OWNER | OTHER_ENCODING | FULL {handle...} (the user's sessions, at most 32 more than the cap)
--- @include "now"
--- @include "index_score"
local key, deadlines, users, sandboxes, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local handle, sandbox, user, retention, most = ARGV[1], ARGV[2], ARGV[5], ARGV[7], ARGV[8]
local lifetime, new_idle, first = ARGV[3] - 0, ARGV[4] - 0, 10
-- Most calls leave out the options, because the server parses each argument.
local create, mode, operation, start, other_owner, other_user, victims = '1', 'touch', '', 'c', '', '0', 0
if ARGV[9] == '1' then
  create, mode, operation, start = ARGV[10], ARGV[11], ARGV[12], ARGV[14]
  other_owner, other_user, victims = ARGV[15], ARGV[16], ARGV[17] - 0
  first = 18 + victims
end
local owner = (ARGV[first] == 'u' or ARGV[first] == 'h') and ARGV[first + 1] or ''
local operations, creations = KEYS[6 + 2 * victims], KEYS[6 + 2 * victims + 1]
if operation ~= '' then
--- @include "applied"
  if applied(creations, operation, now) then return CREATED end
end
local created, version, reply, evicted = now, 1, GONE, nil
-- Nothing exists under an id that was never in use.
if operations then
--- @include "at_existing"
end
if reply and (reply ~= GONE or create == '0') then return reply end
if ARGV[6] ~= '0' then
  local cap = ARGV[6] - 0
  evicted = {}
--- @include "make_room"
end
local deadline = lifetime > 0 and now + lifetime or -lifetime
if deadline <= now then return GONE end
local expiry = new_idle > 0 and math.min(deadline, now + new_idle) or deadline
local score = index_score(expiry, most ~= '0')
--- @include "emit_start"
--- @include "write_record"
if operations then redis.call('DEL', operations) end
if operation ~= '' then
--- @include "remember_creation"
  remember_creation(creations, operation, now, ARGV[13])
end
--- @include "index_session"
if evicted and evicted[1] then
--- @paste "remove_sessions"
  remove_sessions(evicted, deadlines, users, events, sandbox)
end
if earliest > now or not redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 15, 1)[1] then return CREATED end
--- @include "list_expired"
return {CREATED, list_expired(deadlines, now, 16)}
