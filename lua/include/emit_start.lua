-- Write the event of a session that is about to be created, after that of the end of an earlier one of the same id. These
-- are the first writes, so that full memory refuses the session together with its events.
-- This is a block that is pasted where it is included, not a function. Reads these locals of the including script: key,
-- deadlines, events, handle, sandbox, owner, operations, reply, created, version, deadline, emits, victims.
if operations or not reply then
  local score = tonumber(redis.call('ZSCORE', deadlines, handle))
  if score and score % 1 ~= 0 then
--- @include "last_fields"
--- @paste "emit_end"
    emit_end(events, sandbox, handle, not reply and 'p', false, last_fields(key, score))
  end
end
if emits and ARGV[15] ~= '' then
  local most, described, created, lifetime, salt = ARGV[14], ARGV[15] .. version, created, ARGV[3], nil
  for index = 17 + victims, #ARGV, 2 do
    local field = ARGV[index]
    -- The fields of a copy replace creation time and version.
    if field == 's' then
      salt = ARGV[index + 1]
    elseif field == 'c' then
      created = ARGV[index + 1]
    elseif field == 'v' then
      described = ARGV[15] .. ARGV[index + 1]
    end
  end
  if created ~= now or ARGV[4] ~= '0' then lifetime = deadline - created end
--- @paste "add_event"
end
