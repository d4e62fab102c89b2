-- Write the event of a session that is about to be created, after that of the end of an earlier one of the same id. These
-- are the first writes, so that full memory refuses the session together with its events.
-- This is a block like `alive`. Reads these locals of the including script: key, deadlines, events, handle, sandbox,
-- operations, reply, now, created, version, deadline, lifetime, most, start, and `first`, the index in ARGV of the
-- first of the field, value pairs. May set `created`.
if operations and reply and most ~= '0' then
--- @paste "parse_int"
  -- An earlier session of the same id may have been deleted in this ms. The times of creation tell their events apart.
  local last = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  local earlier = last and last[2][1] == sandbox and last[2][2] == handle and parse_int(last[2][6])
  if earlier and earlier >= created and earlier < created + 1000 then created = earlier + 1 end
end
if operations then
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
