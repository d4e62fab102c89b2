--- @include "parse_int"
-- Restore the rate limits that a record had before it was written over, given as field, value, field, value..., unless the
-- new one is further used up. The requests that were counted there still count.
local function keep_limits(key, before)
  for index = 1, #before, 2 do
    local field, value = before[index], before[index + 1]
    local used = string.find(field, '^l:') and parse_int(value)
    if used and used > (parse_int(redis.call('HGET', key, field)) or 0) then
      redis.call('HSET', key, field, value)
      redis.call('HINCRBY', key, 'z', #field + #value)
    end
  end
end
