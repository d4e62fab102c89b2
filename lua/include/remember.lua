-- Store an operation id, and remove those that no longer count. Call it after the write of the change, so that full memory
-- refuses both or neither. The caller sets the expiry of the key.
local function remember(operations, operation, now, window)
  redis.call('ZADD', operations, now + window, operation)
  redis.call('ZREMRANGEBYSCORE', operations, '-inf', now)
end
