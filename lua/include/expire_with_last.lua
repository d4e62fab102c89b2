-- Expire the key of a session's operation ids together with the id that counts longest.
local function expire_with_last(operations)
  redis.call('PEXPIREAT', operations, redis.call('ZRANGE', operations, -1, -1, 'WITHSCORES')[2])
end
