-- Open a session, and record the access unless the touch interval after the last one is not over. Of an idle session, the
-- expiry moves with it, at least once within each half of the idle timeout.
-- This is a block like `touch`. Reads these locals of the including script: key, now, deadlines, interval, handle, retention.
-- Only a call with the index can move the expiry there, and needs to know the mark of the entry.
local reply, _, deadline, accessed, idle, emits
if deadlines then
  reply, _, deadline, accessed, idle, emits = open(key, now, 'e')
else
  reply, _, deadline, accessed, idle = open(key, now)
end
if reply then return reply end
if idle then interval = math.min(interval, math.floor(idle / 2)) end
if now - accessed >= interval and now > accessed then
  if idle and not deadlines then return NEEDS_INDEX end
--- @include "touch"
end
