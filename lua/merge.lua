-- Changes metadata: sets fields, removes fields, or puts new ones in the place of all.
-- KEYS[1] session: the record
-- KEYS[2] operations: operation id -> ms until which it counts; left out without an operation
-- ARGV[1] version: the one that the record must have; empty means any
-- ARGV[2] replace: 1 means that no other metadata stays
-- ARGV[3] operation: id under which this is applied once; empty means none
-- ARGV[4] window: ms for which that id is remembered
-- ARGV[5] limit: most bytes that the session may have
-- ARGV[6] removals: how many
-- ARGV[7..] rest: the fields to remove, then field, value pairs
-- Reply: OK | GONE | MOVED handle | CONFLICT version | TOO_LARGE size
--- @include "now"
--- @include "open"
--- @include "put"
--- @include "drop"
local key, operation, limit = KEYS[1], ARGV[3], tonumber(ARGV[5])
local ends, answer, _, _, version, bound = open(key, now, 'v', 'z')
if not ends then return answer end
version, bound = plain(version), plain(bound) or math.huge
if not version then return CORRUPT end
if operation ~= '' then
--- @include "applied"
  if applied(KEYS[2], operation, now) then return OK end
end
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= version then return {CONFLICT, version} end

local first, size = 7 + ARGV[6], bound
local fields, seen, gone = {'v', version + 1, 'z', 0}, {}, {}
for index = first, #ARGV, 2 do
  seen[ARGV[index]] = true
  fields[#fields + 1] = ARGV[index]
  fields[#fields + 1] = ARGV[index + 1]
  size = size + #ARGV[index] + #ARGV[index + 1]
end
local function remove(field)
  if not seen[field] then gone[#gone + 1] = field end
  seen[field] = true
end
for index = 7, first - 1 do remove(ARGV[index]) end
if ARGV[2] == '1' then
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'm:' then remove(field) end
  end
end
if size > limit then
--- @include "measure"
  size = measure(key, bound, limit, ARGV, first, gone)
  if size > limit then return {TOO_LARGE, size} end
end
fields[4] = size
put(key, fields)
drop(key, gone)
if operation ~= '' then
--- @include "remember"
  remember(KEYS[2], operation, now, ARGV[4])
  -- No id counts longer than this one.
  redis.call('PEXPIREAT', KEYS[2], now + ARGV[4])
end
return OK
