-- Choose the sessions that the cap evicts, and add them to `evicted`; or finish the script with FULL, for the caller to
-- name victims.
-- This is a block that is pasted where it is included, not a function. Reads these locals of the including script: now,
-- handle, sandbox, owner, user, cap, victims, evicted, deadlines, users, events.
-- The count in the index is too high: it includes expired sessions, an earlier session of the same id, and sessions of
-- another user with the same hash. The victims show which entries those are. Of the user's own sessions, the cap evicts the
-- first ones and no more than necessary, at most 32 in one call.
local live, surplus = {}, redis.call('ZCOUNT', users, user, user) + 1 - cap
if surplus > 0 and tonumber(redis.call('ZSCORE', users, handle)) == tonumber(user) then surplus = surplus - 1 end
for index = 1, victims do
  local victim, record, operations = ARGV[14 + index], KEYS[4 + 2 * index], KEYS[5 + 2 * index]
  if victim ~= handle and tonumber(redis.call('ZSCORE', users, victim)) == tonumber(user) then
    -- A key that holds something else than a hash has no owner either.
    local score, victim_owner = tonumber(redis.call('ZSCORE', deadlines, victim) or 0), redis.pcall('HGET', record, 'u')
    if type(victim_owner) == 'table' then victim_owner = nil end
    local is_live = score > now
    if is_live and (victim_owner or owner) == owner then
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
  return {FULL, redis.call('ZRANGEBYSCORE', users, user, user, 'LIMIT', 0, cap + 32)}
end
for index = 1, evictions do evicted[#evicted + 1] = live[index] end
