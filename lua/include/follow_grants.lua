--- @include "parse_int"
-- Follow the pointer of a rotated id while grants that were given under that id count, also after its grace period.
-- This is a block like `alive`, and comes before it. Reads these locals of the including script: key, now, deadline, accessed.
if deadline and not accessed then
  local pointer = redis.call('HMGET', key, 'r', 'p')
  if pointer[1] and (parse_int(pointer[2]) or 0) > now then return {MOVED, pointer[1]} end
end
