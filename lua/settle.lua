-- Remove a message that was delivered from its queue; or plan the next attempt, or make it a dead letter.
-- KEYS[1] messages: message -> its text; field n of an ordered queue is when its first message is due, ms
-- KEYS[2] waiting: message -> when it is due, ms; in an ordered queue its place, which increases
-- KEYS[3] dead: message -> when it became a dead letter, ms
-- ARGV[1] message: its id
-- ARGV[2] claim: under which it was taken, ms
-- ARGV[3] ordered: 1 for an ordered queue, else 0
-- ARGV[4] text: the new text; empty means that the message was delivered
-- ARGV[5] delay: ms until the next attempt; empty means that there is none
-- ARGV[6] most: number of dead letters to keep
-- Reply: OK | GONE (somebody else has taken or settled the message)
--- @include "now"
--- @include "parse_int"
local messages, waiting, dead, id, ordered = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[3] == '1'
local score = redis.call('ZSCORE', waiting, id)
if not score then return GONE end
local claim = tonumber(score)
if ordered then claim = parse_int(redis.call('HGET', messages, 'n')) end
local held = claim == tonumber(ARGV[2])
if ARGV[4] == '' then
  redis.call('ZREM', waiting, id)
  redis.call('HDEL', messages, id)
  if ordered and held then redis.call('HDEL', messages, 'n') end
  return OK
end
if not held then return GONE end
redis.call('HSET', messages, id, ARGV[4])
if ARGV[5] ~= '' then
  local due = now + ARGV[5]
  if ordered then redis.call('HSET', messages, 'n', due) else redis.call('ZADD', waiting, due, id) end
  return OK
end
redis.call('ZREM', waiting, id)
if ordered then redis.call('HDEL', messages, 'n') end
redis.call('ZADD', dead, now, id)
local surplus = redis.call('ZCARD', dead) - ARGV[6]
if surplus > 0 then
  for _, oldest in ipairs(redis.call('ZRANGE', dead, 0, surplus - 1)) do
    redis.call('ZREM', dead, oldest)
    redis.call('HDEL', messages, oldest)
  end
end
return OK
