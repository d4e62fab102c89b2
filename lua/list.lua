-- Lists live sessions of a sandbox, or of a user in it, in this bucket; writes nothing.
-- KEYS[1] deadlines: handle -> end in ms
-- KEYS[2] users: handle -> hash of its user
-- ARGV[1] user: hash of the user; empty means everybody
-- ARGV[2] limit: of handles; those that end first come first where everybody is asked for
-- Reply: OK {handle...}
--- @include "now"
--- @include "sessions_of"
if ARGV[1] ~= '' then return {OK, sessions_of(KEYS[2], KEYS[1], ARGV[1], now)} end
local after = string.format('(%.0f', now)
return {OK, redis.call('ZRANGEBYSCORE', KEYS[1], after, '+inf', 'LIMIT', 0, ARGV[2])}
