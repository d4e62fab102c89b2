-- Answers whether a session is alive, and marks the access.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> end in ms; left out until the reply asks for it
-- ARGV[1] interval: touch interval, ms; within it of the last access nothing is written; may be left out where it is 0
-- ARGV[2] handle: of the session; left out like the deadlines
-- ARGV[3] retention: ms that a record outlives its session; likewise
-- Reply: OK | GONE | MOVED handle | NEEDS_INDEX (an idle session's end must move: call again with the index)
--- @include "now"
--- @include "open"
local key, deadlines, handle, retention = KEYS[1], KEYS[2], ARGV[2], ARGV[3]
local ends, deadline, accessed, idle = open(key, now)
if not ends then return deadline end
local interval = ARGV[1] and tonumber(ARGV[1]) or 0
if idle then interval = math.min(interval, math.floor(idle / 2)) end
if now - accessed >= interval and now > accessed then
  if idle and not deadlines then return NEEDS_INDEX end
--- @include "touch"
end
return OK
