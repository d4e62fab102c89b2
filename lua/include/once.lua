--- @include "drop"
--- @include "plain"
-- Operation ids that a record remembers, each a field `o:ID` holding the time in ms until which it does.
local function applied(key, id)
  return id ~= '' and redis.call('HEXISTS', key, 'o:' .. id) == 1
end

-- Forgets the ids whose time is up. A record with many fields is looked through at every 32nd change only.
local function forget(key, now, version)
  if redis.call('HLEN', key) > 32 and version % 32 ~= 0 then return end
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
