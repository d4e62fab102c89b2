-- List expired sessions, at most `limit`: the handles of those that emit no events, and of those with a marked score. The
-- caller sweeps them, because an index entry is never removed before its record, whose key the script does not know.
local function list_expired(deadlines, now, limit)
  local entries = redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
  local silent, marked = {}, {}
  for index = 1, #entries, 2 do
    local handles = tonumber(entries[index + 1]) % 1 == 0 and silent or marked
    handles[#handles + 1] = entries[index]
  end
  return silent, marked
end
