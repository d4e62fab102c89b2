-- Sets fields of metadata; the others stay. What nearly every change is; `merge` has the rest.
-- KEYS[1] session: the record
-- ARGV[1..] rest: field, value pairs, few enough for Lua's stack
-- Reply: OK | GONE | MOVED handle
--- @include "now"
--- @include "open"
local ends, answer, _, _, version = open(KEYS[1], now, 'v')
if not ends then return answer end
version = plain(version)
if not version then return CORRUPT end
redis.call('HSET', KEYS[1], 'v', version + 1, unpack(ARGV))
return OK
