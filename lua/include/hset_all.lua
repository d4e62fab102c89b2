-- Set any number of fields with HSET, in pieces small enough for Lua's stack. Full memory refuses the first piece.
local function hset_all(key, fields)
  for first = 1, #fields, 2000 do
    redis.call('HSET', key, unpack(fields, first, math.min(first + 1999, #fields)))
  end
end
