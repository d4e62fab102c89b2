-- Remove a session from both indexes. Return how many entries of the first one were removed.
local function unindex(deadlines, users, handle)
  redis.call('ZREM', users, handle)
  return redis.call('ZREM', deadlines, handle)
end
