-- Read the server's clock in ms. No other file calls TIME, so that a test can put another clock here.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
