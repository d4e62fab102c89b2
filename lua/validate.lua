-- Check whether a session is alive, and record the access.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> when the session expires, ms; left out until the reply asks for it
-- ARGV[1] interval: touch interval, ms, from the last access on, in which nothing is written; may be left out if it is 0
-- ARGV[2] handle: of the session; left out like the deadlines
-- ARGV[3] retention: ms that a record outlives its session; left out like the deadlines
-- Reply: OK | GONE | MOVED handle | NEEDS_INDEX (the expiry of an idle session moves: call again with the index)
--- @include "now"
--- @include "open"
local key, deadlines, handle, retention = KEYS[1], KEYS[2], ARGV[2], ARGV[3]
local reply, _, deadline, accessed, idle, emits
-- Only a call that may move the expiry in the index asks for the mark that the entry has there.
if deadlines then
  reply, _, deadline, accessed, idle, emits = open(key, now, 'e')
else
  reply, _, deadline, accessed, idle = open(key, now)
end
if reply then return reply end
local interval = ARGV[1] and tonumber(ARGV[1]) or 0
if idle then interval = math.min(interval, math.floor(idle / 2)) end
if now - accessed >= interval and now > accessed then
  if idle and not deadlines then return NEEDS_INDEX end
--- @include "touch"
end
return OK
