--- @include "parse_int"
-- Open a record. For a live session, return nil and then its expiry, deadline, last access, and idle timeout (or nil), all
-- in ms, and the values of up to five further fields. Otherwise return only the reply that finishes the operation. Scripts
-- that finish with every such reply include `alive` without this function.
local function open(key, now, ...)
  local stored = redis.pcall('HMGET', key, 'd', 'a', 'i', ...)
  local deadline, accessed, idle = stored[1], stored[2], stored[3]
  local version = '1'
--- @include "alive"
  return nil, expiry, deadline, accessed, idle, stored[4], stored[5], stored[6], stored[7], stored[8]
end
