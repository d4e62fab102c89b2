-- Return whether a record would still have encrypted values after a change that removes its salt: the changes, field, value
-- pairs in ARGV from index `first` on, were made before another call encrypted more. Those values would be lost.
local function keeps_encrypted(key, first)
  local written = {}
  for index = first, #ARGV, 2 do written[ARGV[index]] = true end
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if not written[field] then
      if field == 'h' and not written['u'] then return true end
      if string.sub(field, 1, 2) == 'm:' and string.byte(redis.call('HGET', key, field)) == 69 then return true end
    end
  end
  return false
end
