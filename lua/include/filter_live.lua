-- Return the handles whose sessions are alive according to the index. There are no more of them than fit on Lua's stack.
local function filter_live(deadlines, handles, now)
  if not handles[1] then return handles end
  local live, expiries = {}, redis.call('ZMSCORE', deadlines, unpack(handles))
  for index, handle in ipairs(handles) do
    if tonumber(expiries[index] or 0) > now then live[#live + 1] = handle end
  end
  return live
end
