-- Makes a session, or touches the one that is there already.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> end in ms, of this bucket and sandbox
-- KEYS[3] users: handle -> hash of its user, of this bucket and sandbox
-- KEYS[4] sandboxes: sandbox -> its earliest end in ms, of this bucket
-- KEYS[5..] victims: record and operation ids of each session that may have to give way to the new one; then, where an id
-- may be in use again, its operation ids
-- ARGV[1] handle: of the session
-- ARGV[2] sandbox: its name
-- ARGV[3] ttl: ms
-- ARGV[4] deadline: absolute, ms; 0 means from the ttl
-- ARGV[5] idle: idle timeout, ms; 0 means none
-- ARGV[6] owner: user id; empty means nobody
-- ARGV[7] user: hash of the user, a whole number below 2^52
-- ARGV[8] cap: sessions that a user may have here; 0 means any number
-- ARGV[9] retention: ms that a record outlives its session
-- ARGV[10] create: 0 means touch an existing session only
-- ARGV[11] victims: how many
-- ARGV[12..] rest: the victims' handles, then field, value pairs
-- Reply: CREATED, or CREATED {handle...} with ended sessions to sweep | EXISTS | GONE (nothing to touch) | MOVED handle
-- Reply: OTHER_OWNER | FULL {handle...} (the user's sessions, 32 more than the cap at most)
--- @include "now"
--- @include "open"
--- @include "put"
--- @include "drop"
--- @include "remove"
local key, deadlines, users, sandboxes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local handle, sandbox, owner, user = ARGV[1], ARGV[2], ARGV[6], ARGV[7]
local idle, cap, retention, victims = tonumber(ARGV[5]), tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[11])
local alive_till, deadline, _, old_idle, old_owner = open(key, now, 'u')
if alive_till then
  if owner ~= '' and owner ~= old_owner then return OTHER_OWNER end
  local idle = old_idle
--- @include "touch"
  return EXISTS
end
if deadline ~= GONE or ARGV[10] == '0' then return deadline end

-- The index also counts ended sessions, what an ended session of the same id has left, and sessions of another user with
-- the same hash; victims show which those are. Of the user's own, the first leave, no more than must: 32 in one call
-- where the user has many more than the cap.
local leaving = {}
if cap > 0 then
  local own, surplus = {}, redis.call('ZCOUNT', users, user, user) + 1 - cap
  for index = 1, victims do
    local victim, record, operations = ARGV[11 + index], KEYS[3 + 2 * index], KEYS[4 + 2 * index]
    if tonumber(redis.call('ZSCORE', users, victim)) == tonumber(user) then
      -- A key that holds no hash has no owner either.
      local its_end, its_owner = redis.call('ZSCORE', deadlines, victim), redis.pcall('HGET', record, 'u')
      if type(its_owner) == 'table' then its_owner = nil end
      if victim ~= handle and tonumber(its_end or 0) > now and (its_owner or owner) == owner then
        own[#own + 1] = {victim, record, operations}
      else
        surplus = surplus - 1
        if victim ~= handle and tonumber(its_end or 0) <= now then
          leaving[#leaving + 1] = {victim, record, operations}
        end
      end
    end
  end
  local must_leave = math.min(surplus, 32)
  if #own < must_leave then
    remove(leaving, deadlines, users)
    return {FULL, redis.call('ZRANGEBYSCORE', users, user, user, 'LIMIT', 0, cap + 32)}
  end
  for index = 1, must_leave do leaving[#leaving + 1] = own[index] end
end

deadline = tonumber(ARGV[4])
if deadline == 0 then deadline = now + ARGV[3] end
if deadline <= now then return GONE end
local fields = {'c', now, 'd', deadline, 'a', now, 'v', 1}
if owner ~= '' then fields[#fields + 1] = 'u'; fields[#fields + 1] = owner end
if idle > 0 then fields[#fields + 1] = 'i'; fields[#fields + 1] = idle end
for index = 12 + victims, #ARGV do fields[#fields + 1] = ARGV[index] end

-- What a dead session of the same id left behind goes after the first write, which full memory can refuse.
local fresh, stale, left = {}, {}, redis.call('HKEYS', key)
for index = 1, #left > 0 and #fields or 0, 2 do fresh[fields[index]] = true end
for _, field in ipairs(left) do
  if not fresh[field] then stale[#stale + 1] = field end
end
local ends = idle > 0 and math.min(deadline, now + idle) or deadline
put(key, fields)
drop(key, stale)
if KEYS[5 + 2 * victims] then redis.call('DEL', KEYS[5 + 2 * victims]) end
redis.call('PEXPIREAT', key, ends + retention)
redis.call('ZADD', deadlines, ends, handle)
if owner ~= '' then redis.call('ZADD', users, user, handle) else redis.call('ZREM', users, handle) end
redis.call('ZADD', sandboxes, 'LT', ends, sandbox)
remove(leaving, deadlines, users)
-- An index entry never goes before its record, whose key is not known here: the caller sweeps 16 at a time.
if not redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 15, 1)[1] then return CREATED end
return {CREATED, redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 0, 16)}
