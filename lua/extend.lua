-- Extend a session's deadline, once per operation id.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> when the session expires, ms
-- KEYS[3] operations: operation id -> ms until which it counts
-- KEYS[4] events: the stream of this bucket
-- ARGV[1] handle: of the session
-- ARGV[2] additional: ms
-- ARGV[3] latest: the latest deadline allowed, ms
-- ARGV[4] operation: id under which this is applied once
-- ARGV[5] window: ms for which that id is remembered
-- ARGV[6] retention: ms that a record outlives its session
-- ARGV[7] sandbox: its name
-- ARGV[8] events: 1 means that the session probably emits events; left out otherwise
-- Reply: OK | GONE | MOVED handle | TOO_FAR deadline
--- @include "now"
--- @include "open"
--- @include "applied"
--- @include "remember"
--- @include "expire_with_last"
--- @include "move_deadline"
local key, operation = KEYS[1], ARGV[4]
local reply, _, old_deadline, accessed, idle, version, emits, created, owner, salt
if ARGV[8] then
  reply, _, old_deadline, accessed, idle, version, emits, created, owner, salt = open(key, now, 'v', 'e', 'c', 'u', 's')
else
  reply, _, old_deadline, accessed, idle, version, emits = open(key, now, 'v', 'e')
end
if reply then return reply end
version = parse_int(version)
if not version then return CORRUPT end
if applied(KEYS[3], operation, now) then return OK end
local deadline = old_deadline + ARGV[2]
if deadline > tonumber(ARGV[3]) then return {TOO_FAR, old_deadline} end
version = version + 1
if emits then
  local events, sandbox, handle, letter = KEYS[4], ARGV[7], ARGV[1], 'x'
--- @paste "emit_change"
end
move_deadline(key, KEYS[2], nil, ARGV[1], nil, version, deadline, accessed, idle, ARGV[6], emits)
remember(KEYS[3], operation, now, ARGV[5])
expire_with_last(KEYS[3])
return OK
