-- Append to a metadata value that is a list, without decoding it; a missing one is an empty list.
-- KEYS[1] session: the record
-- KEYS[2] operations: operation id -> ms until which it counts; left out without an operation and events
-- KEYS[3] events: the stream of this bucket; left out unless changes of metadata are events
-- ARGV[1] field: of the list
-- ARGV[2] items: their JSON texts, separated by commas
-- ARGV[3] most: bytes that the list may have; empty means any number
-- ARGV[4] limit: most bytes that the session may have
-- ARGV[5] operation: id under which this is applied once; empty means none
-- ARGV[6] window: ms for which that id is remembered
-- ARGV[7] handle: of the session; left out like the events
-- ARGV[8] sandbox: its name; left out like the events
-- Reply: OK size | GONE | MOVED handle | NOT_A_LIST | ENCRYPTED | LIST_FULL size | TOO_LARGE size
--- @include "now"
--- @include "open"
local key, field, items, operation, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[5], tonumber(ARGV[4])
local reply, _, deadline, _, _, version, bound, stored = open(key, now, 'v', 'z', field)
if reply then return reply end
version, bound = parse_int(version), parse_int(bound) or math.huge
if not version then return CORRUPT end
local list = stored or '[]'
if string.sub(list, 1, 1) ~= '[' or string.sub(list, -1) ~= ']' or #list < 2 then
  -- JSON text never begins with `E`.
  return string.sub(list, 1, 1) == 'E' and ENCRYPTED or NOT_A_LIST
end
if operation ~= '' then
--- @include "applied"
  if applied(KEYS[2], operation, now) then return {OK, #(stored or '')} end
end
local separator = (#list == 2 or items == '') and '' or ','
list = string.sub(list, 1, -2) .. separator .. items .. ']'
if ARGV[3] ~= '' and #list > tonumber(ARGV[3]) then return {LIST_FULL, #list} end
local size = bound + #list - (stored and #stored or -#field)
if size > limit then
--- @include "measure"
  size = measure(key, bound, limit, {field, list}, 1, {})
  if size > limit then return {TOO_LARGE, size} end
end
local emits = KEYS[3] and redis.call('HGET', key, 'e')
version = version + 1
if emits then
  local events, sandbox, handle, letter, created, owner, salt = KEYS[3], ARGV[8], ARGV[7], 'u', nil, nil, nil
--- @paste "emit_change"
end
redis.call('HSET', key, field, list, 'v', version, 'z', size)
if operation ~= '' then
--- @include "remember"
  remember(KEYS[2], operation, now, ARGV[6])
  -- No id counts longer than this one.
  redis.call('PEXPIREAT', KEYS[2], now + ARGV[6])
end
return {OK, #list}
