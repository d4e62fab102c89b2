-- List a page of the live sessions of a sandbox, or of a user in it, in this bucket; write nothing.
-- KEYS[1] deadlines: handle -> when the session expires, ms
-- KEYS[2] users: handle -> hash of its user
-- ARGV[1] user: hash of the user; empty means all users, and sessions in the order in which they expire
-- ARGV[2] limit: index entries that one call reads
-- ARGV[3] score: of the entry to continue after; left out, like the next, for the first page
-- ARGV[4] after: handle of that entry
-- Reply: OK {handle...}, followed by score and handle of the last entry read if there may be more
--- @include "now"
--- @include "page"
--- @include "filter_live"
local user, limit = ARGV[1], tonumber(ARGV[2])
local index, lowest, highest = KEYS[1], string.format('(%.0f', now), '+inf'
if user ~= '' then index, lowest, highest = KEYS[2], user, user end
local handles = page(index, lowest, highest, limit, ARGV[3], ARGV[4])
local live, last = handles, handles[limit]
if user ~= '' then live = filter_live(KEYS[1], handles, now) end
if not last then return {OK, live} end
return {OK, live, redis.call('ZSCORE', index, last), last}
