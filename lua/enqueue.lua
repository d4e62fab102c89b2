-- Add messages to an endpoint's queue, in order, until it is full. Skip those that are in it already.
-- KEYS[1] endpoints: endpoint -> its description
-- KEYS[2] messages: message -> its text; of this endpoint, dead letters included
-- KEYS[3] waiting: message -> when it is due, ms; in an ordered queue its place, which increases
-- ARGV[1] endpoint: its id
-- ARGV[2] limit: most messages that may wait
-- ARGV[3] ordered: 1 for an ordered queue, else 0
-- ARGV[4..] rest: pairs of a message's id and its text
-- Reply: OK number (of the first messages that are in the queue now) | GONE (there is no such endpoint)
--- @include "now"
local messages, waiting, score = KEYS[2], KEYS[3], now
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return GONE end
if ARGV[3] == '1' then
  local last = redis.call('ZRANGE', waiting, -1, -1, 'WITHSCORES')
  score = math.max(now, (tonumber(last[2]) or 0) + 1)
end
local room = ARGV[2] - redis.call('ZCARD', waiting)
for index = 4, #ARGV, 2 do
  if redis.call('HEXISTS', messages, ARGV[index]) == 0 then
    if room <= 0 then return {OK, (index - 4) / 2} end
    redis.call('HSET', messages, ARGV[index], ARGV[index + 1])
    redis.call('ZADD', waiting, score, ARGV[index])
    room = room - 1
    if ARGV[3] == '1' then score = score + 1 end
  end
end
return {OK, (#ARGV - 3) / 2}
