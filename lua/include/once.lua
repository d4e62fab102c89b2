--- @include "drop"
-- Operation ids that a record remembers, each a field `o:ID` holding the time of its use in ms.
local function applied(key, id)
  return id ~= '' and redis.call('HEXISTS', key, 'o:' .. id) == 1
end

-- Forgets the ids used before `since`.
local function forget(key, since)
  local stale = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'o:' and (tonumber(redis.call('HGET', key, field)) or 0) < since then
      stale[#stale + 1] = field
    end
  end
  drop(key, stale)
end
