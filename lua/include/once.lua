--- @include "drop"
-- Operation ids that a record remembers, each a field `o:ID` holding the time of its use in ms.
local function applied(key, id)
  return id ~= '' and redis.call('HEXISTS', key, 'o:' .. id) == 1
end

-- Forgets the ids used longer ago than `window` ms. A record with many fields is looked through now and then only.
local function forget(key, at, window)
  if redis.call('HLEN', key) > 32 and at % 32 ~= 0 then return end
  local since, stale = at - window, {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'o:' and (tonumber(redis.call('HGET', key, field)) or 0) < since then
      stale[#stale + 1] = field
    end
  end
  drop(key, stale)
end
