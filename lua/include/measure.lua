-- Return an upper bound of a session's size, once `changes` (field, value pairs from index `first` on) are written and the
-- fields in `removals` are gone. Derive it from the old bound if that stays within the limit; otherwise count. The size is
-- the names and values, in bytes, of all fields whose names are longer than one character.
local function measure(key, bound, limit, changes, first, removals)
  local growth = 0
  for index = first, #changes, 2 do
    if #changes[index] > 1 then
      local old_length = redis.call('HSTRLEN', key, changes[index])
      growth = growth + #changes[index + 1] - old_length
      if old_length == 0 then growth = growth + #changes[index] end
    end
  end
  for _, field in ipairs(removals) do
    local old_length = redis.call('HSTRLEN', key, field)
    if old_length > 0 then growth = growth - #field - old_length end
  end
  if bound + growth <= limit then return bound + growth end
  local record, size = redis.call('HGETALL', key), 0
  for index = 1, #record, 2 do
    if #record[index] > 1 then size = size + #record[index] + #record[index + 1] end
  end
  return size + growth
end
