-- Write the event of a session that is about to be created, after that of the end of an earlier one of the same id. These
-- are the first writes, so that full memory refuses the session together with its events.
-- This is a block that is pasted where it is included, not a function. Reads these locals of the including script: key,
-- deadlines, events, handle, sandbox, owner, operations, reply, created, version, deadline, emits, victims.
if operations or not reply then
  local score = tonumber(redis.call('ZSCORE', deadlines, handle))
  if score and score % 1 ~= 0 then
--- @include "last_fields"
--- @paste "emit_end"
    emit_end(events, sandbox, handle, not reply and 'p', nil, last_fields(key, score))
  end
end
if emits and ARGV[15] ~= '' then
--- @paste "add_event"
  -- The fields of a copy replace creation time and version.
  local given = {c = created, v = version}
  for index = 17 + victims, #ARGV, 2 do given[ARGV[index]] = ARGV[index + 1] end
  local described = ARGV[15] .. given.v
  add_event(events, ARGV[14], sandbox, handle, described, given.c, deadline - given.c, owner, given.s)
end
