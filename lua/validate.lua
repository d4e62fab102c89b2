-- Answers whether a session is alive, and marks the access.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> end in ms; left out until the reply asks for it
-- ARGV[1] interval: touch interval, ms; within it of the last access nothing is written
-- ARGV[2] handle: of the session; left out like the deadlines
-- ARGV[3] retention: ms that a record outlives its session; likewise
-- Reply: OK | GONE | MOVED handle | NEEDS_INDEX (an idle session's end must move: call again with the index)
--- @include "now"
--- @include "open"
--- @include "touch"
local ends, deadline, accessed, idle = open(KEYS[1], now)
if not ends then return deadline end
local interval = tonumber(ARGV[1])
if idle then interval = math.min(interval, math.floor(idle / 2)) end
if now - accessed >= interval and now > accessed then
  if idle and not KEYS[2] then return NEEDS_INDEX end
  local refused = touch(KEYS[1], KEYS[2], ARGV[2], deadline, idle, now, ARGV[3])
  if refused then return refused end
end
return OK
