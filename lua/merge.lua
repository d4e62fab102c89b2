-- Changes metadata: sets fields, removes fields, or puts new ones in the place of all.
-- KEYS[1] session: the record
-- ARGV[1] version: the one that the record must have; empty means any
-- ARGV[2] replace: 1 means that no other metadata stays
-- ARGV[3] operation: id under which this is applied once; empty means none
-- ARGV[4] window: ms for which that id is remembered
-- ARGV[5] removals: how many
-- ARGV[6..] rest: the fields to remove, then field, value pairs
-- Reply: OK | GONE | MOVED handle | CONFLICT version
--- @include "now"
--- @include "open"
--- @include "put"
--- @include "once"
local key, operation = KEYS[1], ARGV[3]
local ends, answer, _, _, version, till = open(key, now, 'v', 'o:' .. operation)
if not ends then return answer end
version = plain(version)
if not version then return CORRUPT end
if applied(till, now) then return OK end
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= version then return {CONFLICT, version} end

local first = 6 + ARGV[5]
local fields, fresh, gone = {'v', version + 1}, {}, {}
if operation ~= '' then fields[3] = 'o:' .. operation; fields[4] = now + ARGV[4] end
for index = first, #ARGV, 2 do
  fresh[ARGV[index]] = true
  fields[#fields + 1] = ARGV[index]
  fields[#fields + 1] = ARGV[index + 1]
end
for index = 6, first - 1 do
  if not fresh[ARGV[index]] then gone[#gone + 1] = ARGV[index] end
end
if ARGV[2] == '1' then
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'm:' and not fresh[field] then gone[#gone + 1] = field end
  end
end
put(key, fields)
drop(key, gone)
if operation ~= '' then forget(key, now, operation) end
return OK
