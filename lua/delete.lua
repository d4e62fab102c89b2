-- Delete a session, even at full memory or with a record that cannot be read; or only the pointer of a rotated id.
-- KEYS[1] session: the record
-- KEYS[2] deadlines: handle -> when the session expires, ms
-- KEYS[3] users: handle -> hash of its user
-- KEYS[4] operations: operation id -> ms until which it counts
-- KEYS[5] events: the stream of this bucket
-- ARGV[1] handle: of the session
-- ARGV[2] sandbox: its name
-- ARGV[3] letter: of the event that tells of the end of the session; empty means that none does
-- ARGV[4] owner: delete only this user's session, see `compare_owner`; empty means any user's; may be left out, like the
-- following
-- ARGV[5] version: delete only this version; empty means any
-- ARGV[6] pointer: delete only a pointer of this value; empty means a session
-- ARGV[7] created: delete only a session created at this time, ms; empty means any
-- ARGV[8] successor: pointer to the id that replaces the session; empty means none
-- ARGV[9] grace: ms for which the pointer is left under the id; 0 means none
-- ARGV[10] grants: delete only if field `p` has this value (0 if it is missing), and let operations on grants follow the
-- pointer; empty means that the grants end
-- Reply: OK | GONE (leftovers are removed) | MOVED handle | OTHER_OWNER | OTHER_ENCODING | CONFLICT version | EXISTS (not
-- a pointer)
--- @include "now"
--- @include "open"
local key, deadlines, users, events, handle, sandbox, letter = KEYS[1], KEYS[2], KEYS[3], KEYS[5], ARGV[1], ARGV[2], ARGV[3]
local expected_owner, expected_version, pointer, expected_created = ARGV[4] or '', ARGV[5] or '', ARGV[6] or '', ARGV[7] or ''
local successor, grace, grants = ARGV[8] or '', tonumber(ARGV[9] or 0), ARGV[10] or ''
local reply, _, deadline, _, _, owner, version, created, emits, salt = open(key, now, 'u', 'v', 'c', 'e', 's')
if pointer ~= '' then
  if not reply then return EXISTS end
  if type(reply) ~= 'table' or reply[2] ~= pointer then return reply end
  redis.call('DEL', key)
  return OK
end
if type(reply) == 'table' then return reply end
local last
if not reply then
  if expected_created ~= '' and expected_created ~= created then return GONE end
  -- A record that has lost its owner still belongs to its user in the index.
  if expected_owner ~= '' and expected_owner ~= owner and (owner or not redis.call('ZSCORE', users, handle)) then
--- @include "compare_owner"
    local difference = compare_owner(key, owner, expected_owner, '')
    if difference then return difference end
  end
  if expected_version ~= '' and expected_version ~= version then return {CONFLICT, parse_int(version) or 0} end
  if grants ~= '' and grants ~= (redis.call('HGET', key, 'p') or '0') then return {CONFLICT, parse_int(version) or 0} end
else
  if reply == GONE then
    -- Whoever has an old id cannot end the grants of the session that replaced it.
    local found = redis.call('HMGET', key, 'r', 'p')
    if found[1] and (parse_int(found[2]) or 0) > now then return GONE end
  end
  -- An expired session has ended before. Only its event is missing, if the mark in the index says that it emits any.
  local score = tonumber(redis.call('ZSCORE', deadlines, handle))
  if score and score % 1 ~= 0 then
--- @include "last_fields"
    last = last_fields(key, score)
  end
end
redis.call('DEL', key, KEYS[4])
redis.call('ZREM', users, handle)
-- Only the call that removes the index entry writes the event.
if redis.call('ZREM', deadlines, handle) == 1 and letter ~= '' then
  if last then
--- @include "emit_end"
    emit_end(events, sandbox, handle, reply ~= GONE and letter, false, last)
  elseif emits then
    local pointer, most = successor ~= '' and successor, emits
--- @paste "emit"
  end
end
if not reply and successor ~= '' then
  local last_grant = parse_int(grants)
--- @include "leave_pointer"
end
return (not reply or reply == CORRUPT) and OK or GONE
