-- Returns an upper bound of a session's size once `changes` (field, value pairs from index `first` on) are written and the
-- fields in `removals` are gone: from the old bound where that suffices, otherwise counted. The size comprises names and
-- values of all fields whose name is longer than one character.
local function measure(key, bound, limit, changes, first, removals)
  local grown = 0
  for index = first, #changes, 2 do
    local before = redis.call('HSTRLEN', key, changes[index])
    grown = grown + #changes[index + 1] - before
    if before == 0 then grown = grown + #changes[index] end
  end
  for _, field in ipairs(removals) do
    local before = redis.call('HSTRLEN', key, field)
    if before > 0 then grown = grown - #field - before end
  end
  if bound + grown <= limit then return bound + grown end
  local record, size = redis.call('HGETALL', key), 0
  for index = 1, #record, 2 do
    if #record[index] > 1 then size = size + #record[index] + #record[index + 1] end
  end
  return size + grown
end
