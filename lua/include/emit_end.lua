-- Write the event of the end of a session, given what `last_fields` returns. Without a `letter` for another reason, it has
-- expired: at its deadline, or earlier because it was idle.
local function emit_end(events, sandbox, handle, letter, pointer, last)
  local deadline, created, version, owner, salt, most = unpack(last, 1, 6)
  local accessed, idle = parse_int(last[7]), parse_int(last[8])
  letter = letter or accessed and idle and accessed + idle < deadline and 'i' or 't'
--- @paste "emit"
end
