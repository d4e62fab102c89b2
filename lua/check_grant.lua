-- Check that a grant counts: its session is alive, and nobody has revoked it. Write nothing.
-- KEYS[1] session: the record
-- ARGV[1] field: of the grant
-- ARGV[2] expiry: of its token, ms
-- Reply: OK deadline {field, value...} (of the owner) | GONE | MOVED handle
--- @include "now"
local key = KEYS[1]
local stored = redis.pcall('HMGET', key, 'd', 'a', 'i', ARGV[1], 'u', 'h', 's')
local deadline, accessed, idle, version = stored[1], stored[2], stored[3], '1'
--- @include "follow_grants"
--- @include "alive"
--- @include "grant_expiry"
if ARGV[2] - now <= 0 or grant_expiry(stored[4]) <= now then return GONE end
local owner, user, hash, salt = {}, stored[5], stored[6], stored[7]
if user then owner[1], owner[2] = 'u', user end
if hash then owner[#owner + 1], owner[#owner + 2] = 'h', hash end
if salt then owner[#owner + 1], owner[#owner + 2] = 's', salt end
return {OK, deadline, owner}
