--- @include "parse_int"
-- Finish the script unless the session is alive. Make numbers of its times, and set `expiry`: the deadline or, if that is
-- earlier, the end of the idle timeout. All are in ms; `idle` is nil or false without an idle timeout.
-- This is a block that is pasted where it is included, not a function, because every call needs it. Reads these locals of
-- the including script: key, now, stored (a reply, or an error), and the texts deadline, accessed, idle, and version. The
-- version becomes a number, or nil if it cannot be read. A script that needs no version sets it to '1'.
if not deadline then
  if not stored.err then return GONE end
  -- The key holds something else than a hash. Any other refusal is returned unchanged.
  return string.find(stored.err, 'WRONGTYPE', 1, true) and CORRUPT or stored
end
-- Check numbers of the usual length with one search, and convert them by arithmetic, which is faster.
if
  accessed and version and #deadline <= 15 and #accessed <= 15 and #version <= 15
  and string.find(deadline .. ' ' .. accessed .. ' ' .. version, '^%d+ %d+ %d+$')
then
  deadline, accessed, version = deadline + 0, accessed + 0, version + 0
else
  deadline, accessed, version = parse_int(deadline), parse_int(accessed), parse_int(version)
end
if not deadline then return CORRUPT end
if deadline <= now then return GONE end
if not accessed then
  local pointer = redis.call('HGET', key, 'r')
  return pointer and {MOVED, pointer} or CORRUPT
end
local expiry = deadline
if idle then
  idle = parse_int(idle)
  if not idle then return CORRUPT end
  expiry = math.min(deadline, accessed + idle)
  if expiry <= now then return GONE end
end
