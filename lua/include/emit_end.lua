--- @include "emit"
-- Write the event of the end of a session, given what `last_fields` returns. Without a `letter` for another reason, it has
-- expired: at its deadline, or earlier because it was idle.
local function emit_end(events, sandbox, handle, letter, pointer, last)
  local accessed, idle = parse_int(last[7]), parse_int(last[8])
  letter = letter or accessed and idle and accessed + idle < last[1] and 'i' or 't'
  emit(events, sandbox, handle, letter, pointer, last[1], last[2], last[3], last[4], last[5], last[6])
end
