-- Answers whether a session is alive, and marks the access.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> end in ms; left out until the reply asks for it
-- ARGV[1] handle: of the session
-- ARGV[2] interval: touch interval, ms; within it of the last access nothing is written
-- ARGV[3] retention: ms that a record outlives its session
-- Reply: OK | GONE | MOVED handle | NEEDS_INDEX (an idle session's end must move: call again with the index)
--- @include "now"
--- @include "open"
--- @include "touch"
local at = now()
local ends, deadline, accessed, idle = open(KEYS[1], at)
if not ends then return deadline end
local interval = tonumber(ARGV[2])
if idle then interval = math.min(interval, math.floor(idle / 2)) end
if at - accessed >= interval and at > accessed then
  if idle and not KEYS[2] then return {NEEDS_INDEX} end
  local refused = touch(KEYS[1], KEYS[2], ARGV[1], deadline, idle, at, ARGV[3])
  if refused then return refused end
end
return {OK}
