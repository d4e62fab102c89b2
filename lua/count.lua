-- Counts live sessions of a sandbox, or of a user in it, in this bucket; writes nothing.
-- KEYS[1] deadlines: handle -> end in ms
-- KEYS[2] users: handle -> hash of its user
-- ARGV[1] user: hash of the user; empty means everybody
-- Reply: OK number
--- @include "now"
--- @include "sessions_of"
if ARGV[1] ~= '' then return {OK, #sessions_of(KEYS[2], KEYS[1], ARGV[1], now)} end
return {OK, redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', now), '+inf')}
