-- The live sessions of a user in this bucket, as handles, by the user's hash.
local function sessions_of(users, deadlines, user, now)
  local alive = {}
  for _, handle in ipairs(redis.call('ZRANGEBYSCORE', users, user, user)) do
    local ends = tonumber(redis.call('ZSCORE', deadlines, handle) or 0)
    if ends > now then alive[#alive + 1] = handle end
  end
  return alive
end
