-- Counts live sessions of a sandbox, or of a user in it, in this bucket, those of a user a page at a time; writes nothing.
-- KEYS[1] deadlines: handle -> end in ms
-- KEYS[2] users: handle -> hash of its user
-- ARGV[1] user: hash of the user; empty means everybody
-- ARGV[2] limit: of a user's index entries that one call reads; left out for everybody
-- ARGV[3] score: of the entry to continue after; left out, like the next, for the first page
-- ARGV[4] after: handle of that entry
-- Reply: OK number, followed by score and handle of the last entry read if there may be more
--- @include "now"
--- @include "page"
--- @include "living"
local user, limit = ARGV[1], tonumber(ARGV[2])
if user == '' then return {OK, redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', now), '+inf')} end
local found = page(KEYS[2], user, user, limit, ARGV[3], ARGV[4])
local number, last = #living(KEYS[1], found, now), found[limit]
if not last then return {OK, number} end
return {OK, number, user, last}
