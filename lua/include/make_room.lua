-- Choose the sessions that the cap evicts, and add them to `evicted`; or finish the script with FULL, for the caller to
-- name victims.
-- This is a block that is pasted where it is included, not a function. Reads these locals of the including script: now,
-- handle, sandbox, owner, user, other_owner, other_user, cap, victims, evicted, deadlines, users, events.
-- The count in the index is too high: it includes expired sessions, an earlier session of the same id, and sessions of
-- another user with the same hash. The victims show which entries those are. Of the user's own sessions, the cap evicts the
-- first ones and no more than necessary, at most 32 in one call. Records in either form of the user count.
local live, surplus = {}, redis.call('ZCOUNT', users, user, user) + 1 - cap
if other_owner ~= '' then surplus = surplus + redis.call('ZCOUNT', users, other_user, other_user) end
local function counts(member)
  local score = tonumber(redis.call('ZSCORE', users, member))
  return score == tonumber(user) or score and other_owner ~= '' and score == tonumber(other_user)
end
if surplus > 0 and counts(handle) then surplus = surplus - 1 end
for index = 1, victims do
  local victim, record, operations = ARGV[17 + index], KEYS[4 + 2 * index], KEYS[5 + 2 * index]
  if victim ~= handle and counts(victim) then
    -- A key that holds something else than a hash has no owner either.
    local score, found = tonumber(redis.call('ZSCORE', deadlines, victim) or 0), redis.pcall('HMGET', record, 'h', 'u')
    local hash, text, is_live = not found.err and found[1], not found.err and found[2], score > now
    -- As in `same_owner`. The new session's own form is never a SHA-1.
    if text and not hash and string.byte(other_owner) == 254 then text = '\254' .. redis.sha1hex(text) end
    local victim_owner = hash or text or owner
    if is_live and (victim_owner == owner or victim_owner == other_owner) then
      live[#live + 1] = {victim, record, operations, score, 'e'}
    else
      surplus = surplus - 1
      if not is_live then evicted[#evicted + 1] = {victim, record, operations, score} end
    end
  end
end
local evictions = math.min(surplus, 32)
if #live < evictions then
--- @paste "remove_sessions"
  remove_sessions(evicted, deadlines, users, events, sandbox)
  local listed = redis.call('ZRANGEBYSCORE', users, user, user, 'LIMIT', 0, cap + 32)
  if other_owner ~= '' then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', users, other_user, other_user, 'LIMIT', 0, cap + 32)) do
      listed[#listed + 1] = member
    end
  end
  return {FULL, listed}
end
for index = 1, evictions do evicted[#evicted + 1] = live[index] end
