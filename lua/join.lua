-- Register a process of a reader for the time of a lease, and list all of them; or leave.
-- KEYS[1] members: process -> when it last registered, ms; of this reader
-- ARGV[1] member: the process
-- ARGV[2] lease: ms; 0 leaves
-- Reply: OK now {member, ms...} (those that registered within the lease)
--- @include "now"
redis.call('ZREM', KEYS[1], ARGV[1])
if ARGV[2] == '0' then return {OK, now, {}} end
-- At full memory, processes register, because ZREM comes first.
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIREAT', KEYS[1], now + 10 * ARGV[2])
return {OK, now, redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')}
