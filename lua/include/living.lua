-- Returns those of the handles whose sessions are alive according to the index.
local function living(deadlines, handles, now)
  local alive = {}
  for _, handle in ipairs(handles) do
    if tonumber(redis.call('ZSCORE', deadlines, handle) or 0) > now then alive[#alive + 1] = handle end
  end
  return alive
end
