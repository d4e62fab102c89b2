-- The server's clock in ms: the only place that reads TIME, so that a test can put another clock here.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
