-- Lets the key of operation ids expire together with the id that counts longest.
local function expire_last(operations)
  redis.call('PEXPIREAT', operations, redis.call('ZRANGE', operations, -1, -1, 'WITHSCORES')[2])
end
