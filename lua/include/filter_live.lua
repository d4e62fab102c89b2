-- Return the handles whose sessions are alive according to the index.
local function filter_live(deadlines, handles, now)
  local live = {}
  for _, handle in ipairs(handles) do
    if tonumber(redis.call('ZSCORE', deadlines, handle) or 0) > now then live[#live + 1] = handle end
  end
  return live
end
