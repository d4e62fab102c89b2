-- Remove a session from both indexes.
local function unindex(deadlines, users, handle)
  redis.call('ZREM', deadlines, handle)
  redis.call('ZREM', users, handle)
end
