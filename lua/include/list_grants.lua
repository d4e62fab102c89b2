--- @include "grant_expiry"
-- Return the grants of a session that count, as field, value, field, value..., and the fields of the expired ones.
local function list_grants(key, now)
  local live, expired = {}, {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'g:' then
      local stored = redis.call('HGET', key, field)
      if grant_expiry(stored) > now then
        live[#live + 1], live[#live + 2] = field, stored
      else
        expired[#expired + 1] = field
      end
    end
  end
  return live, expired
end
