-- Create a session, or touch the one that exists.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> when the session expires, ms; of this bucket and sandbox
-- KEYS[3] users: handle -> hash of its user; of this bucket and sandbox
-- KEYS[4] sandboxes: sandbox -> when its first session in this bucket expires, ms
-- KEYS[5..] victims: record and operation ids of each session that the cap may evict; then, if the id may have been in use
-- before, its operation ids
-- ARGV[1] handle: of the session
-- ARGV[2] sandbox: its name
-- ARGV[3] ttl: ms
-- ARGV[4] deadline: absolute, ms; 0 means now plus the ttl
-- ARGV[5] idle: idle timeout, ms; 0 means none
-- ARGV[6] owner: user id; empty means no owner
-- ARGV[7] user: hash of the user, a whole number below 2^52
-- ARGV[8] cap: most sessions that the user may have in this sandbox; 0 means any number
-- ARGV[9] retention: ms that a record outlives its session
-- ARGV[10] create: 0 means only touch a session that exists
-- ARGV[11] victims: their number
-- ARGV[12..] rest: the victims' handles, then field, value pairs
-- Reply: CREATED, or CREATED {handle...} with expired sessions to sweep | EXISTS | GONE (nothing to touch) | MOVED handle
-- Reply: OTHER_OWNER | FULL {handle...} (the user's sessions, at most 32 more than the cap)
--- @include "now"
--- @include "open"
--- @include "hset_all"
--- @include "hdel_all"
--- @include "remove_sessions"
local key, deadlines, users, sandboxes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local handle, sandbox, owner, user = ARGV[1], ARGV[2], ARGV[6], ARGV[7]
local new_idle, cap, retention, victims = tonumber(ARGV[5]), tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[11])
local reply, _, deadline, _, idle, current_owner = open(key, now, 'u')
if not reply then
  if owner ~= '' and owner ~= current_owner then return OTHER_OWNER end
--- @include "touch"
  return EXISTS
end
if reply ~= GONE or ARGV[10] == '0' then return reply end

-- The count in the index is too high: it includes expired sessions, an expired session of the same id, and sessions of
-- another user with the same hash. The victims show which entries those are. Of the user's own sessions, the cap evicts the
-- first ones and no more than necessary, at most 32 in one call.
local evicted = {}
if cap > 0 then
  local live, surplus = {}, redis.call('ZCOUNT', users, user, user) + 1 - cap
  for index = 1, victims do
    local victim, record, operations = ARGV[11 + index], KEYS[3 + 2 * index], KEYS[4 + 2 * index]
    if tonumber(redis.call('ZSCORE', users, victim)) == tonumber(user) then
      -- A key that holds something else than a hash has no owner either.
      local expiry, victim_owner = redis.call('ZSCORE', deadlines, victim), redis.pcall('HGET', record, 'u')
      if type(victim_owner) == 'table' then victim_owner = nil end
      if victim ~= handle and tonumber(expiry or 0) > now and (victim_owner or owner) == owner then
        live[#live + 1] = {victim, record, operations}
      else
        surplus = surplus - 1
        if victim ~= handle and tonumber(expiry or 0) <= now then
          evicted[#evicted + 1] = {victim, record, operations}
        end
      end
    end
  end
  local evictions = math.min(surplus, 32)
  if #live < evictions then
    remove_sessions(evicted, deadlines, users)
    return {FULL, redis.call('ZRANGEBYSCORE', users, user, user, 'LIMIT', 0, cap + 32)}
  end
  for index = 1, evictions do evicted[#evicted + 1] = live[index] end
end

deadline = tonumber(ARGV[4])
if deadline == 0 then deadline = now + ARGV[3] end
if deadline <= now then return GONE end
local fields = {'c', now, 'd', deadline, 'a', now, 'v', 1}
if owner ~= '' then fields[#fields + 1] = 'u'; fields[#fields + 1] = owner end
if new_idle > 0 then fields[#fields + 1] = 'i'; fields[#fields + 1] = new_idle end
for index = 12 + victims, #ARGV do fields[#fields + 1] = ARGV[index] end

-- Fields that an expired session of the same id has left are removed after the first write, which full memory can refuse.
local written, stale, old_fields = {}, {}, redis.call('HKEYS', key)
for index = 1, #old_fields > 0 and #fields or 0, 2 do written[fields[index]] = true end
for _, field in ipairs(old_fields) do
  if not written[field] then stale[#stale + 1] = field end
end
local expiry = new_idle > 0 and math.min(deadline, now + new_idle) or deadline
hset_all(key, fields)
hdel_all(key, stale)
if KEYS[5 + 2 * victims] then redis.call('DEL', KEYS[5 + 2 * victims]) end
redis.call('PEXPIREAT', key, expiry + retention)
redis.call('ZADD', deadlines, expiry, handle)
if owner ~= '' then redis.call('ZADD', users, user, handle) else redis.call('ZREM', users, handle) end
redis.call('ZADD', sandboxes, 'LT', expiry, sandbox)
remove_sessions(evicted, deadlines, users)
-- An index entry is never removed before its record, whose key this script does not know. The caller sweeps, 16 at a time.
if not redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 15, 1)[1] then return CREATED end
return {CREATED, redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 0, 16)}
