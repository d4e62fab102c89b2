-- Move dead letters to the end of their queue.
-- KEYS[1] messages: message -> its text
-- KEYS[2] waiting: message -> when it is due, ms; in an ordered queue its place, which increases
-- KEYS[3] dead: message -> when it became a dead letter, ms
-- ARGV[1] ordered: 1 for an ordered queue, else 0
-- ARGV[2..] rest: pairs of a message's id and its new text
-- Reply: OK number (of the messages that were dead letters)
--- @include "now"
local messages, waiting, dead, score, moved = KEYS[1], KEYS[2], KEYS[3], now, 0
if ARGV[1] == '1' then
  local last = redis.call('ZRANGE', waiting, -1, -1, 'WITHSCORES')
  score = math.max(now, (tonumber(last[2]) or 0) + 1)
end
for index = 2, #ARGV, 2 do
  local id = ARGV[index]
  if redis.call('ZSCORE', dead, id) then
    redis.call('HSET', messages, id, ARGV[index + 1])
    redis.call('ZADD', waiting, score, id)
    redis.call('ZREM', dead, id)
    moved = moved + 1
    if ARGV[1] == '1' then score = score + 1 end
  end
end
return {OK, moved}
