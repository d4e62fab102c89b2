-- Remove sessions, each given as its handle and the keys of its record and of its operation ids.
local function remove_sessions(sessions, deadlines, users)
  for _, session in ipairs(sessions) do
    redis.call('DEL', session[2], session[3])
    redis.call('ZREM', deadlines, session[1])
    redis.call('ZREM', users, session[1])
  end
end
