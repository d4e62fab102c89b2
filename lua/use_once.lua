-- Remember an id that may be used once.
-- KEYS[1] session: the id, which is not that of a session
-- ARGV[1] use: random, so that a retry is no second use
-- ARGV[2] ttl: ms for which the id is remembered
-- Reply: OK | EXISTS
--- @include "now"
local known = redis.call('HMGET', KEYS[1], 'u', 't')
if known[1] and tonumber(known[2]) > now then return known[1] == ARGV[1] and OK or EXISTS end
redis.call('HSET', KEYS[1], 'u', ARGV[1], 't', now + ARGV[2])
redis.call('PEXPIREAT', KEYS[1], now + ARGV[2])
return OK
