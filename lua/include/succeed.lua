-- Return creation time and version of a session that replaces a live one; no version if the old one cannot be read. Both
-- are higher than the old ones, even within one ms: a call that names the old ones must not find the new session.
local function succeed(key, now)
  local old = redis.call('HMGET', key, 'c', 'v')
  local version = parse_int(old[2])
  return math.max(now, (parse_int(old[1]) or 0) + 1), version and version + 1
end
