--- @include "plain"
-- Opens a record: when it ends, its deadline, last access and idle timeout or nil, then three further fields asked for;
-- or nil and the reply that ends the operation. All times are ms. The end is the moment at which the session dies
-- unless something else happens first. No table is made on the way that leads on: every call comes here.
local function open(key, now, ...)
  local field = redis.pcall('HMGET', key, 'd', 'a', 'i', ...)
  local deadline, accessed = field[1], field[2]
  if not deadline then
    if not field.err then return nil, GONE end
    -- The key holds something else than a hash. Any other refusal is returned as it is.
    return nil, string.find(field.err, 'WRONGTYPE', 1, true) and CORRUPT or field
  end
  -- Two numbers of the usual kind are looked through as one text.
  if accessed and #deadline <= 15 and #accessed <= 15 and string.find(deadline .. accessed, '^%d+$') then
    deadline, accessed = tonumber(deadline), tonumber(accessed)
  else
    deadline, accessed = plain(deadline), plain(accessed)
  end
  if not deadline then return nil, CORRUPT end
  if deadline <= now then return nil, GONE end
  if not accessed then
    local pointer = redis.call('HGET', key, 'r')
    return nil, pointer and {MOVED, pointer} or CORRUPT
  end
  if not field[3] then return deadline, deadline, accessed, nil, field[4], field[5], field[6] end
  local idle = plain(field[3])
  if not idle then return nil, CORRUPT end
  local ends = math.min(deadline, accessed + idle)
  if ends <= now then return nil, GONE end
  return ends, deadline, accessed, idle, field[4], field[5], field[6]
end
