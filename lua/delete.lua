-- Delete a session, even at full memory or with a record that cannot be read; or only the pointer of a rotated id.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> when the session expires, ms
-- KEYS[3] users: handle -> hash of its user
-- KEYS[4] operations: operation id -> ms until which it counts
-- ARGV[1] handle: of the session
-- ARGV[2] owner: delete only this user's session, see `compare_owner`; empty means any user's
-- ARGV[3] version: delete only this version; empty means any
-- ARGV[4] pointer: delete only a pointer of this value; empty means a session
-- ARGV[5] created: delete only a session created at this time, ms; empty means any
-- ARGV[6] successor: pointer to leave under the id, a handle or a reference; empty means none
-- ARGV[7] grace: ms for which the pointer is valid
-- Reply: OK | GONE (leftovers are removed) | MOVED handle | OTHER_OWNER | OTHER_ENCODING | CONFLICT version | EXISTS (not
-- a pointer)
--- @include "now"
--- @include "open"
--- @include "unindex"
local reply, _, deadline, _, _, owner, version, created = open(KEYS[1], now, 'u', 'v', 'c')
if ARGV[4] ~= '' then
  if not reply then return EXISTS end
  if type(reply) ~= 'table' or reply[2] ~= ARGV[4] then return reply end
  redis.call('DEL', KEYS[1])
  return OK
end
if not reply then
  if ARGV[5] ~= '' and ARGV[5] ~= created then return GONE end
  -- A record that has lost its owner still belongs to its user in the index.
  if ARGV[2] ~= '' and ARGV[2] ~= owner and (owner or not redis.call('ZSCORE', KEYS[3], ARGV[1])) then
--- @include "compare_owner"
    local difference = compare_owner(KEYS[1], owner, ARGV[2], '')
    if difference then return difference end
  end
  if ARGV[3] ~= '' and ARGV[3] ~= version then return {CONFLICT, parse_int(version) or 0} end
elseif type(reply) == 'table' then
  return reply
end
redis.call('DEL', KEYS[1], KEYS[4])
unindex(KEYS[2], KEYS[3], ARGV[1])
if not reply and ARGV[6] ~= '' then
  local pointer_expiry = math.min(deadline, now + ARGV[7])
  redis.call('HSET', KEYS[1], 'r', ARGV[6], 'd', pointer_expiry)
  redis.call('PEXPIREAT', KEYS[1], pointer_expiry)
end
return (not reply or reply == CORRUPT) and OK or GONE
