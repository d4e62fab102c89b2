--- @include "hset_all"
--- @include "hdel_all"
-- Write a record. Fields that an earlier session of the same id has left are removed after the first write, which full
-- memory can refuse.
local function overwrite(key, fields)
  local written, stale, old_fields = {}, {}, redis.call('HKEYS', key)
  for index = 1, #old_fields > 0 and #fields or 0, 2 do written[fields[index]] = true end
  for _, field in ipairs(old_fields) do
    if not written[field] then stale[#stale + 1] = field end
  end
  hset_all(key, fields)
  hdel_all(key, stale)
end
