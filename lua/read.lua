-- Reads a whole session; writes nothing.
-- KEYS[1] session: the record
-- Reply: OK {field, value...} | GONE | MOVED handle
--- @include "now"
--- @include "open"
local ends, answer = open(KEYS[1], now)
if not ends then return answer end
return {OK, redis.call('HGETALL', KEYS[1])}
