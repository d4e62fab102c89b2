-- Store a grant, which lets another sandbox use one path of a session. This is neither an access nor a change of the version.
-- KEYS[1] session: the record
-- KEYS[2] operations: operation id -> ms until which it counts
-- ARGV[1] field: of the grant
-- ARGV[2] ttl: ms from now until the grant expires, rounded down to a whole second; never after the deadline
-- ARGV[3] described: its audience, actions, and path, for lists
-- ARGV[4] most: grants that the session may have
-- ARGV[5] limit: most bytes that the session may have
-- ARGV[6] operation: id under which this is applied once
-- ARGV[7] window: ms for which that id is remembered
-- Reply: OK expiry (ms) now (ms) | GONE | MOVED handle | CEILING number (of its grants) | TOO_LARGE size
--- @include "now"
--- @include "open"
--- @include "applied"
--- @include "list_grants"
--- @include "measure"
--- @include "hdel_all"
--- @include "remember"
--- @include "expire_with_last"
local key, operations, field, limit, operation = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[5]), ARGV[6]
local reply, _, deadline, _, _, bound, last, stored = open(key, now, 'z', 'p', field)
if reply then return reply end
if applied(operations, operation, now) then
  -- It may have been revoked since.
  local expiry = grant_expiry(stored)
  return expiry > now and {OK, expiry, now} or GONE
end
-- The times in tokens are whole seconds.
local expiry = math.floor(math.min(now + ARGV[2], deadline) / 1000) * 1000
if expiry <= now then return GONE end
local live, expired = list_grants(key, now)
if #live / 2 >= tonumber(ARGV[4]) then return {CEILING, #live / 2} end
local value = string.format('%.0f ', expiry) .. ARGV[3]
local size = measure(key, parse_int(bound) or math.huge, limit, {field, value}, 1, expired)
if size > limit then return {TOO_LARGE, size} end
-- Each change of the grants increases `p`, so that a move to another bucket notices it.
redis.call('HSET', key, field, value, 'p', math.max((parse_int(last) or 0) + 1, expiry), 'z', size)
hdel_all(key, expired)
remember(operations, operation, now, ARGV[7])
expire_with_last(operations)
return {OK, expiry, now}
