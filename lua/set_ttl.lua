-- Set a session's deadline, counted from now. It may be earlier than the present one.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> when the session expires, ms
-- KEYS[3] sandboxes: sandbox -> when its first session in this bucket expires, ms
-- KEYS[4] events: the stream of this bucket
-- ARGV[1] handle: of the session
-- ARGV[2] sandbox: its name
-- ARGV[3] ttl: ms
-- ARGV[4] latest: the latest deadline allowed, ms; a later one becomes this one
-- ARGV[5] retention: ms that a record outlives its session
-- ARGV[6] events: 1 means that the session probably emits events; left out otherwise
-- Reply: OK | GONE | MOVED handle
--- @include "now"
--- @include "open"
--- @include "move_deadline"
local reply, _, accessed, idle, version, emits, created, owner, salt
if ARGV[6] then
  reply, _, _, accessed, idle, version, emits, created, owner, salt = open(KEYS[1], now, 'v', 'e', 'c', 'u', 's')
else
  reply, _, _, accessed, idle, version, emits = open(KEYS[1], now, 'v', 'e')
end
if reply then return reply end
version = parse_int(version)
if not version then return CORRUPT end
local deadline = math.min(now + ARGV[3], tonumber(ARGV[4]))
version = version + 1
if emits then
  local key, events, sandbox, handle, letter = KEYS[1], KEYS[4], ARGV[2], ARGV[1], 'x'
--- @paste "emit_change"
end
move_deadline(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], version, deadline, accessed, idle, ARGV[5], emits)
return OK
