-- Take messages that are due from an endpoint's queue, for a time. They stay in the queue until they are settled.
-- KEYS[1] messages: message -> its text; field n of an ordered queue is when its first message is due, ms
-- KEYS[2] waiting: message -> when it is due, ms; in an ordered queue its place, which increases
-- ARGV[1] limit: most messages; of an ordered queue only the first one can be taken
-- ARGV[2] lease: ms after which messages are due again if they were not settled; positive
-- ARGV[3] ordered: 1 for an ordered queue, else 0
-- Reply: OK now claim next {message, text...}. The claim (ms) is when they are due again, and next (ms) is when another
-- message is due, or 0 if none waits.
--- @include "now"
--- @include "parse_int"
local messages, waiting, ordered, claim = KEYS[1], KEYS[2], ARGV[3] == '1', now + ARGV[2]
local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
if not first[1] then return {OK, now, claim, 0, {}} end
local due = first[2]
if ordered then due = parse_int(redis.call('HGET', messages, 'n')) or 0 end
if tonumber(due) > now then return {OK, now, claim, tonumber(due), {}} end
local found, ids = {}, {first[1]}
if not ordered then ids = redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, ARGV[1]) end
if ordered then redis.call('HSET', messages, 'n', claim) end
for _, id in ipairs(ids) do
  if not ordered then redis.call('ZADD', waiting, claim, id) end
  found[#found + 1] = id
  found[#found + 1] = redis.call('HGET', messages, id) or ''
end
if ordered then return {OK, now, claim, claim, found} end
return {OK, now, claim, tonumber(redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2]), found}
