-- Adopt a session of another store, unless its id was adopted or blocked before; or bring an adopted one up to date.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> when the session expires, ms; of this bucket and sandbox
-- KEYS[3] users: handle -> hash of its user; of this bucket and sandbox
-- KEYS[4] sandboxes: sandbox -> when its first session in this bucket expires, ms
-- KEYS[5] events: the stream of this bucket
-- KEYS[6] marker: `d`, until when the id is not adopted again, ms; `v` and `f`, version and fingerprint that were adopted;
-- `b`, when the id was last blocked, ms
-- ARGV[1] handle: of the session
-- ARGV[2] sandbox: its name
-- ARGV[3] mode: adopt, refresh (also write over a session that has not changed since it was adopted), or block (only mark)
-- ARGV[4] deadline: of the session at the source, ms; 0 means that it is unknown
-- ARGV[5] overlap: ms from now on for which a new marker counts at least
-- ARGV[6] fingerprint: of the session at the source; left out with mode block, like the following
-- ARGV[7] created: ms
-- ARGV[8] accessed: last access, ms
-- ARGV[9] idle: idle timeout, ms; 0 means none
-- ARGV[10] version: at the source
-- ARGV[11] user: hash of the user, a whole number below 2^52
-- ARGV[12] retention: ms that a record outlives its session
-- ARGV[13] events: most events that the stream may have; 0 means that the session emits none
-- ARGV[14..] rest: field, value pairs: first that of the owner (`u` or `h`), if there is one; last access and size, too
-- Reply: CREATED | OK (brought up to date) | EXISTS (alive, and left as it is) | GONE | MOVED handle
--- @include "now"
--- @include "open"
--- @include "index_score"
--- @include "keep_limits"
local key, deadlines, users, sandboxes, events, marker = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local handle, sandbox, mode, deadline, most, first = ARGV[1], ARGV[2], ARGV[3], ARGV[4] - 0, ARGV[13], 14
local reply, _, _, touched, _, present, origin, emits = open(key, now, 'v', 't', 'e')
local exists = redis.pcall('HLEN', key) ~= 0 or redis.call('ZSCORE', deadlines, handle)
local marked, adopted, known = unpack(redis.call('HMGET', marker, 'd', 'v', 'f'), 1, 3)
marked = parse_int(marked) or 0
local expiry, writes, version, accesses = deadline, false, ARGV[10], false
if mode ~= 'block' then
  if ARGV[9] ~= '0' then expiry = math.min(deadline, ARGV[8] + ARGV[9]) end
  if expiry <= now then return reply or EXISTS end
  if not exists then
    writes = marked <= now
  elseif mode == 'refresh' and not reply and marked > now and origin and present == adopted then
    writes, accesses = ARGV[6] ~= known, ARGV[8] - touched > 0
    version, most = math.max((parse_int(present) or 0) + 1, version), emits or '0'
    if ARGV[9] ~= '0' then expiry = math.min(deadline, math.max(touched, ARGV[8]) + ARGV[9]) end
  end
end
local valid_until = math.max(marked, deadline)
if mode == 'block' or marked <= now then valid_until = math.max(valid_until, now + ARGV[5]) end
if writes and not exists and most ~= '0' then
  local described, created, lifetime, owner, salt = 'c' .. version, ARGV[7], deadline - ARGV[7], nil, nil
  for index = first, #ARGV, 2 do
    if ARGV[index] == 'u' then owner = ARGV[index + 1] elseif ARGV[index] == 's' then salt = ARGV[index + 1] end
  end
--- @include "add_event"
end
-- The marker outlives the session, however that ends, so no other script needs to know it.
if writes or valid_until > marked then
  redis.call('HSET', marker, 'd', valid_until)
  if mode == 'block' then redis.call('HSET', marker, 'b', now) end
  redis.call('PEXPIREAT', marker, valid_until)
end
local created, user, retention, score = ARGV[7], ARGV[11], ARGV[12], index_score(expiry, most ~= '0')
if accesses and not writes then
  redis.call('HSET', key, 'a', ARGV[8])
  redis.call('PEXPIREAT', key, expiry + retention)
  redis.call('ZADD', deadlines, score, handle)
  return OK
end
if not writes then return reply or EXISTS end
redis.call('HSET', marker, 'v', version, 'f', ARGV[6])
-- The included blocks then remove what an earlier session of the same id has left.
local operations, before = true, exists and redis.call('HGETALL', key) or {}
local owner = (ARGV[first] == 'u' or ARGV[first] == 'h') and ARGV[first + 1] or ''
--- @include "write_record"
redis.call('HSET', key, 't', deadline)
if touched and touched > tonumber(ARGV[8]) then redis.call('HSET', key, 'a', touched) end
if most ~= '0' then redis.call('HSET', key, 'e', most) end
keep_limits(key, before)
--- @include "index_session"
return exists and OK or CREATED
