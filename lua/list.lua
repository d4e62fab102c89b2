-- Lists live sessions of a sandbox, or of a user in it, in this bucket, a page at a time; writes nothing.
-- KEYS[1] deadlines: handle -> end in ms
-- KEYS[2] users: handle -> hash of its user
-- ARGV[1] user: hash of the user; empty means everybody
-- ARGV[2] limit: of index entries that one call reads; those that end first come first where everybody is asked for
-- ARGV[3] score: of the entry to continue after; left out, like the next, for the first page
-- ARGV[4] after: handle of that entry
-- Reply: OK {handle...}, followed by score and handle of the last entry read if there may be more
--- @include "now"
--- @include "page"
--- @include "living"
local user, limit = ARGV[1], tonumber(ARGV[2])
local index, lowest, highest = KEYS[1], string.format('(%.0f', now), '+inf'
if user ~= '' then index, lowest, highest = KEYS[2], user, user end
local found = page(index, lowest, highest, limit, ARGV[3], ARGV[4])
local alive, last = found, found[limit]
if user ~= '' then alive = living(KEYS[1], found, now) end
if not last then return {OK, alive} end
return {OK, alive, redis.call('ZSCORE', index, last), last}
