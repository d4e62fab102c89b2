-- HSET of any number of fields, in pieces small enough for Lua's stack. The first piece is what full memory refuses.
local function put(key, pairs_)
  for first = 1, #pairs_, 2000 do
    redis.call('HSET', key, unpack(pairs_, first, math.min(first + 1999, #pairs_)))
  end
end
