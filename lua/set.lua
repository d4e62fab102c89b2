-- Set metadata fields; the others stay. Nearly every change needs only this; `merge` can do the rest.
-- KEYS[1] session: the record
-- ARGV[1] limit: most bytes that the session may have
-- ARGV[2] field: to set. If it is `s`, the other values are encrypted under this salt
-- ARGV[3] value: of the field
-- ARGV[4..] rest: further field, value pairs, few enough for Lua's stack
-- Reply: OK | GONE | MOVED handle | OTHER_SALT salt (of the record; nothing was written) | TOO_LARGE size
--- @include "now"
local key = KEYS[1]
local stored = redis.pcall('HMGET', key, 'd', 'a', 'i', 'v', 'z')
local deadline, accessed, idle, version, bound = stored[1], stored[2], stored[3], stored[4], stored[5]
--- @include "alive"
if not version then return CORRUPT end
bound = parse_int(bound) or math.huge
local size = bound + #ARGV[2] + #ARGV[3]
if ARGV[2] == 's' then
--- @include "other_salt"
  local refusal = other_salt(key, ARGV[3])
  if refusal then return refusal end
  size = bound
end
for index = 4, #ARGV do size = size + #ARGV[index] end
if size - ARGV[1] > 0 then
  local limit, first = tonumber(ARGV[1]), ARGV[2] == 's' and 4 or 2
--- @include "measure"
  size = measure(key, bound, limit, ARGV, first, {})
  if size > limit then return {TOO_LARGE, size} end
end
redis.call('HSET', key, 'v', version + 1, 'z', size, unpack(ARGV, 2))
return OK
