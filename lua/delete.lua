-- Ends a session, at full memory too, and one whose record cannot be read; or clears the pointer of an old id, and
-- nothing else.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> end in ms
-- KEYS[3] users: handle -> hash of its user
-- KEYS[4] operations: operation id -> ms until which it counts
-- ARGV[1] handle: of the session
-- ARGV[2] owner: only if it is this user's; empty means anybody's
-- ARGV[3] version: only if the record has it; empty means any
-- ARGV[4] pointer: only if the record is a pointer to this handle; empty means a session
-- ARGV[5] created: only if the session was created then, ms; empty means any
-- ARGV[6] successor: what the id points to from then on; empty means nothing
-- ARGV[7] grace: ms for which it does
-- Reply: OK | GONE (what was left of it is cleared) | MOVED handle | OTHER_OWNER | CONFLICT version | EXISTS (no pointer)
--- @include "now"
--- @include "open"
--- @include "unindex"
local ends, answer, _, _, owner, version, created = open(KEYS[1], now, 'u', 'v', 'c')
if ARGV[4] ~= '' then
  if ends then return EXISTS end
  if type(answer) ~= 'table' or answer[2] ~= ARGV[4] then return answer end
  redis.call('DEL', KEYS[1])
  return OK
end
if ends then
  if ARGV[5] ~= '' and ARGV[5] ~= created then return GONE end
  -- A record that has lost its owner still belongs to the user that the index holds it for.
  if ARGV[2] ~= '' and ARGV[2] ~= owner and (owner or not redis.call('ZSCORE', KEYS[3], ARGV[1])) then
    return OTHER_OWNER
  end
  if ARGV[3] ~= '' and ARGV[3] ~= version then return {CONFLICT, plain(version) or 0} end
elseif type(answer) == 'table' then
  return answer
end
redis.call('DEL', KEYS[1], KEYS[4])
unindex(KEYS[2], KEYS[3], ARGV[1])
if ends and ARGV[6] ~= '' then
  local honored = math.min(answer, now + ARGV[7])
  redis.call('HSET', KEYS[1], 'r', ARGV[6], 'd', honored)
  redis.call('PEXPIREAT', KEYS[1], honored)
end
return (ends or answer == CORRUPT) and OK or GONE
