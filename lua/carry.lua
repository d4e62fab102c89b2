-- Carries operation ids over to the copy of a session that a login creates.
-- KEYS[1] session: the copy's record
-- KEYS[2] operations: operation id -> ms until which it counts, of the copy
-- ARGV[1..] rest: pairs of the ms until which an id counts, and the id
-- Reply: OK | GONE | MOVED handle
--- @include "now"
--- @include "open"
--- @include "expire_last"
local ends, answer = open(KEYS[1], now)
if not ends then return answer end
for first = 1, #ARGV, 2000 do
  redis.call('ZADD', KEYS[2], unpack(ARGV, first, math.min(first + 1999, #ARGV)))
end
expire_last(KEYS[2])
return OK
