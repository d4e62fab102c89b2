-- Revoke one grant of a session, or all of them, even at full memory.
-- KEYS[1] session: the record
-- ARGV[1] field: of the grant; empty means all grants
-- Reply: OK number | GONE (no such grant) | MOVED handle
--- @include "now"
--- @include "parse_int"
local key, field = KEYS[1], ARGV[1]
local stored = redis.pcall('HMGET', key, 'd', 'a', 'i', 'z', 'p')
local deadline, accessed, idle, version, bound, last = stored[1], stored[2], stored[3], '1', stored[4], stored[5]
if field ~= '' then
  -- The id of a grant names the session by the id that it had then.
--- @include "follow_grants"
end
--- @include "alive"
--- @include "list_grants"
--- @include "measure"
--- @include "hdel_all"
local number, revoked = 1, {field}
if field == '' then
  local live, expired = list_grants(key, now)
  number, revoked = #live / 2, expired
  for index = 1, #live, 2 do revoked[#revoked + 1] = live[index] end
elseif grant_expiry(redis.call('HGET', key, field)) <= now then
  return GONE
end
if number == 0 then return {OK, 0} end
local size = measure(key, parse_int(bound) or math.huge, 9007199254740991, {}, 1, revoked)
hdel_all(key, revoked)
redis.call('HSET', key, 'p', (parse_int(last) or 0) + 1, 'z', size)
return {OK, number}
