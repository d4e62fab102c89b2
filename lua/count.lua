-- Count live sessions of a sandbox, or a page of those of a user in it, in this bucket; write nothing.
-- KEYS[1] deadlines: handle -> when the session expires, ms
-- KEYS[2] users: handle -> hash of its user
-- ARGV[1] user: hash of the user; empty means all users
-- ARGV[2] limit: index entries that one call reads for a user; left out for all users
-- ARGV[3] score: of the entry to continue after; left out, like the next, for the first page
-- ARGV[4] after: handle of that entry
-- Reply: OK number, followed by score and handle of the last entry read if there may be more
--- @include "now"
--- @include "page"
--- @include "filter_live"
local user, limit = ARGV[1], tonumber(ARGV[2])
if user == '' then return {OK, redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', now), '+inf')} end
local handles = page(KEYS[2], user, user, limit, ARGV[3], ARGV[4])
local number, last = #filter_live(KEYS[1], handles, now), handles[limit]
if not last then return {OK, number} end
return {OK, number, user, last}
