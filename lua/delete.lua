-- Ends a session, at full memory too.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> end in ms
-- KEYS[3] users: handle -> hash of its user
-- ARGV[1] handle: of the session
-- ARGV[2] owner: only if it is this user's; empty means anybody's
-- ARGV[3] version: only if the record has it; empty means any
-- ARGV[4] pointer: 1 means that the pointer of an old id goes too, and is not followed
-- Reply: OK | GONE (what was left of it is cleared) | MOVED handle | OTHER_OWNER | CONFLICT version
--- @include "now"
--- @include "open"
--- @include "unindex"
local record, answer = open(KEYS[1], now(), 'u', 'v')
if record then
  if ARGV[2] ~= '' and ARGV[2] ~= record.more[1] then return {OTHER_OWNER} end
  if ARGV[3] ~= '' and ARGV[3] ~= record.more[2] then return {CONFLICT, tonumber(record.more[2]) or 0} end
elseif answer[1] == MOVED and ARGV[4] ~= '1' then
  return answer
end
redis.call('DEL', KEYS[1])
unindex(KEYS[2], KEYS[3], ARGV[1])
return {record and OK or GONE}
