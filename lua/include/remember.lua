-- Records an operation id, and removes those that no longer count. Comes after the write of the change: full memory then
-- refuses both or neither. Leaves the expiry of the key to the caller.
local function remember(operations, operation, now, window)
  redis.call('ZADD', operations, now + window, operation)
  redis.call('ZREMRANGEBYSCORE', operations, '-inf', now)
end
