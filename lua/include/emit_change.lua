--- @include "emit"
-- Write an event of a live session that is about to change. It is the first write of the script, so that the change and its
-- event are refused together. `emits` is the field `e` of the record.
local function emit_change(key, events, sandbox, handle, letter, version, deadline, emits)
  local field = redis.call('HMGET', key, 'c', 'u', 's')
  local text = string.format('%.0f', version)
  emit(events, sandbox, handle, letter, nil, deadline, field[1], text, field[2], field[3], emits)
end
