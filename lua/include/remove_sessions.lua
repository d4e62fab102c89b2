--- @include "parse_int"
--- @include "last_fields"
--- @include "emit_end"
-- Remove sessions, each given as its handle, the keys of its record and of its operation ids, the score of its index entry,
-- and a letter for the reason, nil if it has expired. The mark in the score tells which sessions emit events. Only the call
-- that removes an index entry writes the event.
local function remove_sessions(sessions, deadlines, users, events, sandbox)
  for _, session in ipairs(sessions) do
    local handle, record, score = session[1], session[2], session[4]
    local last = score % 1 ~= 0 and last_fields(record, score)
    redis.call('DEL', record, session[3])
    redis.call('ZREM', users, handle)
    if redis.call('ZREM', deadlines, handle) == 1 and last then
      emit_end(events, sandbox, handle, session[5], false, last)
    end
  end
end
