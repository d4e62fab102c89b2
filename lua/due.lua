-- Names the sandboxes that have an ended session to sweep in this bucket, a page at a time; writes nothing.
-- KEYS[1] sandboxes: sandbox -> its earliest end in ms
-- ARGV[1] limit: of names
-- ARGV[2] score: of the entry to continue after; left out, like the next, for the first page
-- ARGV[3] after: name in that entry
-- Reply: OK {sandbox...}, followed by score and name of the last entry if there may be more
--- @include "now"
--- @include "page"
local limit = tonumber(ARGV[1])
local names = page(KEYS[1], '-inf', now, limit, ARGV[2], ARGV[3])
local last = names[limit]
if not last then return {OK, names} end
return {OK, names, redis.call('ZSCORE', KEYS[1], last), last}
