--- @include "unindex"
-- Removes sessions, each given as its handle and its record's key.
local function remove(sessions, deadlines, users)
  for _, session in ipairs(sessions) do
    redis.call('DEL', session[2])
    unindex(deadlines, users, session[1])
  end
end
