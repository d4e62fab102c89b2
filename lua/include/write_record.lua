-- Write the record of a new session. The first write is one that full memory can refuse.
-- This is a block like `alive`. Reads these locals of the including script: key, created, deadline, now, version, operations, and
-- `first`, the index in ARGV of the first of the field, value pairs.
redis.call(
  'HSET', key, 'c', created, 'd', deadline, 'a', now, 'v', version, unpack(ARGV, first, math.min(first + 1999, #ARGV))
)
for more = first + 2000, #ARGV, 2000 do
  redis.call('HSET', key, unpack(ARGV, more, math.min(more + 1999, #ARGV)))
end
if operations then
  -- Remove the fields that an earlier session of the same id has left.
--- @include "hdel_all"
  local written, stale = {c = true, d = true, a = true, v = true}, {}
  for index = first, #ARGV, 2 do written[ARGV[index]] = true end
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if not written[field] then stale[#stale + 1] = field end
  end
  hdel_all(key, stale)
end
