-- Replace the description of an endpoint if it is the expected one; or remove the endpoint with its queue.
-- KEYS[1] endpoints: endpoint -> its description
-- KEYS[2] messages: message -> its text; of this endpoint
-- KEYS[3] waiting: message -> when it is due, ms
-- KEYS[4] dead: message -> when it became a dead letter, ms
-- ARGV[1] endpoint: its id
-- ARGV[2] expected: its description as it was read; empty means that there is none
-- ARGV[3] text: its new description; empty removes it
-- Reply: OK | MISMATCH {endpoint} (somebody else has changed it)
local present = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if present == ARGV[3] then return OK end
if present ~= ARGV[2] then return {MISMATCH, {ARGV[1]}} end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  return OK
end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
redis.call('HDEL', KEYS[1], ARGV[1])
return OK
