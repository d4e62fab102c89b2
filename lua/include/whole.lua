-- Read a whole record with one command, and find its times in it.
-- This is a block like `alive`, for which it prepares the locals `stored`, deadline, accessed, and idle; and emits, and the
-- place of the last access in `stored`. Reads the local `key` of the including script, which needs no version.
local stored = redis.pcall('HGETALL', key)
local version, deadline, accessed, idle, emits, access_index = '1'
for index = 2, #stored, 2 do
  local field = stored[index - 1]
  if field == 'd' then
    deadline = stored[index]
  elseif field == 'a' then
    accessed, access_index = stored[index], index
  elseif field == 'i' then
    idle = stored[index]
  elseif field == 'e' then
    emits = stored[index]
  end
end
