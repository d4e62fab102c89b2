-- Sets fields of metadata; the others stay. What nearly every change is; `merge` has the rest.
-- KEYS[1] session: the record
-- ARGV[1] limit: most bytes that the session may have
-- ARGV[2..] rest: field, value pairs, few enough for Lua's stack
-- Reply: OK | GONE | MOVED handle | TOO_LARGE size
--- @include "now"
--- @include "open"
local key, limit = KEYS[1], tonumber(ARGV[1])
local ends, answer, _, _, version, bound = open(key, now, 'v', 'z')
if not ends then return answer end
version, bound = plain(version), plain(bound) or math.huge
if not version then return CORRUPT end
local size = bound
for index = 2, #ARGV do size = size + #ARGV[index] end
if size > limit then
--- @include "measure"
  size = measure(key, bound, limit, ARGV, 2, {})
  if size > limit then return {TOO_LARGE, size} end
end
redis.call('HSET', key, 'v', version + 1, 'z', size, unpack(ARGV, 2))
return OK
