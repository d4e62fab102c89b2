-- Collect the changes of a merge: the fields to set and to remove, and an upper bound of the size, as if no field existed.
-- This is a block like `alive`. Reads these locals of the including script: key, bound, is_salted, replaces, first_expected, and
-- `first`, the index in ARGV of the first of the field, value pairs. Increments `version`, and sets fields, removed, size.
version = version + 1
local fields, seen, removed, size = {'v', version, 'z', 0}, {}, {}, is_salted and bound - 1 - #ARGV[first + 1] or bound
for index = first, #ARGV, 2 do
  seen[ARGV[index]] = true
  fields[#fields + 1] = ARGV[index]
  fields[#fields + 1] = ARGV[index + 1]
  size = size + #ARGV[index] + #ARGV[index + 1]
end
local function remove(field)
  if not seen[field] then removed[#removed + 1] = field end
  seen[field] = true
end
for index = 14, first_expected - 1 do remove(ARGV[index]) end
if replaces then
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'm:' then remove(field) end
  end
end
