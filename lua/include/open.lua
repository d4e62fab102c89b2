--- @include "parse_int"
-- Open a record. For a live session, return nil and then its expiry, deadline, last access, and idle timeout (or nil), all
-- in ms, and the values of up to five further fields. Otherwise return only the reply that finishes the operation.
-- The expiry is the deadline or, if that is earlier, the end of the idle timeout. Opening a live session creates no further
-- table, because every call does it.
local function open(key, now, ...)
  local field = redis.pcall('HMGET', key, 'd', 'a', 'i', ...)
  local deadline, accessed = field[1], field[2]
  if not deadline then
    if not field.err then return GONE end
    -- The key holds something else than a hash. Any other refusal is returned unchanged.
    return string.find(field.err, 'WRONGTYPE', 1, true) and CORRUPT or field
  end
  -- Check two numbers of the usual length with one search, which is faster.
  if accessed and #deadline <= 15 and #accessed <= 15 and string.find(deadline .. accessed, '^%d+$') then
    deadline, accessed = tonumber(deadline), tonumber(accessed)
  else
    deadline, accessed = parse_int(deadline), parse_int(accessed)
  end
  if not deadline then return CORRUPT end
  if deadline <= now then return GONE end
  if not accessed then
    local pointer = redis.call('HGET', key, 'r')
    return pointer and {MOVED, pointer} or CORRUPT
  end
  if not field[3] then return nil, deadline, deadline, accessed, nil, field[4], field[5], field[6], field[7], field[8] end
  local idle = parse_int(field[3])
  if not idle then return CORRUPT end
  local expiry = math.min(deadline, accessed + idle)
  if expiry <= now then return GONE end
  return nil, expiry, deadline, accessed, idle, field[4], field[5], field[6], field[7], field[8]
end
