-- List a page of an endpoint's dead letters, oldest first; write nothing.
-- KEYS[1] messages: message -> its text
-- KEYS[2] dead: message -> when it became a dead letter, ms
-- ARGV[1] limit: most messages
-- ARGV[2] score: of the entry to continue after; left out, like the next, for the first page
-- ARGV[3] after: message in that entry
-- Reply: OK {message, text, time...}, followed by score and message of the last entry if there may be more
--- @include "page"
local limit = tonumber(ARGV[1])
local ids = page(KEYS[2], '-inf', '+inf', limit, ARGV[2], ARGV[3])
local found = {}
for _, id in ipairs(ids) do
  found[#found + 1] = id
  found[#found + 1] = redis.call('HGET', KEYS[1], id) or ''
  found[#found + 1] = redis.call('ZSCORE', KEYS[2], id)
end
local last = ids[limit]
if not last then return {OK, found} end
return {OK, found, redis.call('ZSCORE', KEYS[2], last), last}
