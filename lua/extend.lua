-- Extend a session's deadline, once per operation id.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> when the session expires, ms
-- KEYS[3] operations: operation id -> ms until which it counts; gets those of earlier extensions
-- KEYS[4] events: the stream of this bucket
-- ARGV[1] handle: of the session
-- ARGV[2] additional: ms
-- ARGV[3] latest: the latest deadline allowed, ms
-- ARGV[4] operation: id under which this is applied once
-- ARGV[5] window: ms for which that id is remembered
-- ARGV[6] retention: ms that a record outlives its session
-- ARGV[7] sandbox: its name
-- ARGV[8] events: 1 means that the session probably emits events; left out otherwise
-- Reply: OK | GONE | MOVED handle | TOO_FAR deadline
--- @include "now"
local key, deadlines, operations, operation, window = KEYS[1], KEYS[2], KEYS[3], ARGV[4], ARGV[5]
local stored
if ARGV[8] then
  stored = redis.pcall('HMGET', key, 'd', 'a', 'i', 'v', 'e', 'x', 'c', 'u', 's')
else
  stored = redis.pcall('HMGET', key, 'd', 'a', 'i', 'v', 'e', 'x')
end
local deadline, accessed, idle = stored[1], stored[2], stored[3]
local version, emits, latest_operation = stored[4], stored[5], stored[6]
--- @include "alive"
if not version then return CORRUPT end
-- The record remembers the latest extension: its operation id, and until when that counts. No earlier one counts longer.
local latest_until = latest_operation and parse_int(redis.call('HGET', key, 'y'))
local remembers = latest_until and latest_until > now
if remembers then
--- @include "applied"
  if operation == latest_operation or applied(operations, operation, now) then return OK end
end
local new_deadline = deadline + ARGV[2]
if new_deadline - ARGV[3] > 0 then return {TOO_FAR, deadline} end
version = version + 1
if emits then
  local events, sandbox, handle, letter, deadline = KEYS[4], ARGV[7], ARGV[1], 'x', new_deadline
  local created, owner, salt = stored[7], stored[8], stored[9]
--- @paste "emit_change"
end
redis.call('HSET', key, 'd', new_deadline, 'v', version, 'x', operation, 'y', now + window)
expiry = idle and math.min(new_deadline, accessed + idle) or new_deadline
redis.call('PEXPIREAT', key, expiry + ARGV[6])
--- @include "index_score"
redis.call('ZADD', deadlines, index_score(expiry, emits), ARGV[1])
if remembers then
--- @include "remember"
--- @include "expire_with_last"
  remember(operations, latest_operation, now, latest_until - now)
  expire_with_last(operations)
end
return OK
