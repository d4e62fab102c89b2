-- Write the event of a session that is about to be created, after that of the end of an earlier one of the same id. These
-- are the first writes, so that full memory refuses the session together with its events.
-- This is a block like `alive`. Reads these locals of the including script: key, deadlines, events, handle, sandbox,
-- exists, reply, now, created, version, deadline, lifetime, most, start, and `first`, the index in ARGV of the first of the
-- field, value pairs.
if exists then
  local score = tonumber(redis.call('ZSCORE', deadlines, handle))
  if score and score % 1 ~= 0 then
--- @paste "parse_int"
--- @paste "last_fields"
--- @paste "emit_end"
    emit_end(events, sandbox, handle, not reply and 'p', false, last_fields(key, score))
  end
end
if most ~= '0' and start ~= '' then
  -- Converting a number to text takes long, and nearly all versions are 1.
  local described, created, owner, salt = start .. (version == 1 and '1' or version), created, nil, nil
  for index = first, #ARGV, 2 do
    local field = ARGV[index]
    -- The fields of a copy replace creation time and version.
    if field == 'u' then
      owner = ARGV[index + 1]
    elseif field == 's' then
      salt = ARGV[index + 1]
    elseif field == 'c' then
      created = ARGV[index + 1]
    elseif field == 'v' then
      described = start .. ARGV[index + 1]
    end
  end
  local lifetime = created == now and lifetime > 0 and ARGV[3] or deadline - created
--- @paste "add_event"
end
