-- Record the access to a live session unless the touch interval after the last one is not over. Of an idle session, the
-- expiry moves with it, at least once within each half of the idle timeout.
-- This is a block like `alive`. Reads the locals that `alive` sets, and deadlines, interval, handle, retention, emits.
-- Only a call with the index can move the expiry there.
if idle then interval = math.min(interval, math.floor(idle / 2)) end
if now - accessed >= interval and now > accessed then
  if idle and not deadlines then return NEEDS_INDEX end
--- @include "touch"
end
