-- Check whether a session is alive, and record the access.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> when the session expires, ms; left out until the reply asks for it
-- ARGV[1] interval: touch interval, ms, from the last access on, in which nothing is written; may be left out if it is 0
-- ARGV[2] handle: of the session; left out like the deadlines
-- ARGV[3] retention: ms that a record outlives its session; left out like the deadlines
-- Reply: OK | GONE | MOVED handle | NEEDS_INDEX (the expiry of an idle session moves: call again with the index)
--- @include "now"
local key, deadlines, handle, retention = KEYS[1], KEYS[2], ARGV[2], ARGV[3]
local interval = ARGV[1] and tonumber(ARGV[1]) or 0
local stored
-- Only a call with the index needs to know the mark of the entry.
if deadlines then
  stored = redis.pcall('HMGET', key, 'd', 'a', 'i', 'e')
else
  stored = redis.pcall('HMGET', key, 'd', 'a', 'i')
end
local deadline, accessed, idle, emits, version = stored[1], stored[2], stored[3], stored[4], '1'
--- @include "alive"
--- @include "access"
return OK
