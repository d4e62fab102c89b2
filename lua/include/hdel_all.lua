-- Remove any number of fields with HDEL, in pieces small enough for Lua's stack.
local function hdel_all(key, fields)
  for first = 1, #fields, 2000 do
    redis.call('HDEL', key, unpack(fields, first, math.min(first + 1999, #fields)))
  end
end
