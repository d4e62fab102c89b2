-- List a page of the sandboxes that have an expired session to sweep in this bucket; write nothing.
-- KEYS[1] sandboxes: sandbox -> when its first session in this bucket expires, ms
-- ARGV[1] limit: most names
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
