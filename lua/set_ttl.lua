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
-- Reply: OK | GONE | MOVED handle
--- @include "now"
--- @include "open"
--- @include "move_deadline"
local reply, _, _, accessed, idle, version, emits = open(KEYS[1], now, 'v', 'e')
if reply then return reply end
version = parse_int(version)
if not version then return CORRUPT end
local deadline = math.min(now + ARGV[3], tonumber(ARGV[4]))
if emits then
--- @include "emit_change"
  emit_change(KEYS[1], KEYS[4], ARGV[2], ARGV[1], 'x', version + 1, deadline, emits)
end
move_deadline(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], version + 1, deadline, accessed, idle, ARGV[5], emits)
return OK
