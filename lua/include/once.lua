--- @include "drop"
--- @include "plain"
-- A record remembers operation ids, each in a field `o:ID` with the time in ms until which it counts: whether it does.
local function applied(till, now)
  return till and (plain(till) or 0) >= now
end

-- Forgets the ids whose time is up. One change in eight does so: which one is left to the bits of its id, since whatever
-- is counted, callers can fall into step with.
local function forget(key, now, id)
  if string.byte(id) % 8 ~= 0 then return end
  local ids, stale = {}, {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'o:' then ids[#ids + 1] = field end
  end
  for first = 1, #ids, 2000 do
    local last = math.min(first + 1999, #ids)
    for offset, till in ipairs(redis.call('HMGET', key, unpack(ids, first, last))) do
      if (plain(till) or 0) < now then stale[#stale + 1] = ids[first + offset - 1] end
    end
  end
  drop(key, stale)
end
