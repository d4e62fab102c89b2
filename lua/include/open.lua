--- @include "status"
--- @include "plain"
-- Opens a record: {ends, accessed, idle or nil, further fields asked for}, or nil and the reply that ends the
-- operation. `ends` is the moment in ms at which the session dies unless something else happens first.
local function open(key, at, ...)
  local field = redis.call('HMGET', key, 'd', 'a', 'i', 'r', ...)
  if not field[1] then return nil, {GONE} end
  local deadline, accessed, idle = plain(field[1]), plain(field[2]), plain(field[3])
  if not deadline then return nil, {CORRUPT} end
  if deadline <= at then return nil, {GONE} end
  if field[4] then return nil, {MOVED, field[4]} end
  if not accessed or (field[3] and not idle) then return nil, {CORRUPT} end
  local ends = idle and math.min(deadline, accessed + idle) or deadline
  if ends <= at then return nil, {GONE} end
  return {ends = ends, deadline = deadline, accessed = accessed, idle = idle, more = {field[5], field[6]}}
end
