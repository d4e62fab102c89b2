-- Copy operation ids to the new session that a login creates.
-- KEYS[1] session: the record of the new session
-- KEYS[2] operations: operation id -> ms until which it counts; of the new session
-- ARGV[1..] rest: pairs of the ms until which an id counts, and the id
-- Reply: OK | GONE | MOVED handle
--- @include "now"
--- @include "open"
--- @include "expire_with_last"
local reply = open(KEYS[1], now)
if reply then return reply end
for first = 1, #ARGV, 2000 do
  redis.call('ZADD', KEYS[2], unpack(ARGV, first, math.min(first + 1999, #ARGV)))
end
expire_with_last(KEYS[2])
return OK
