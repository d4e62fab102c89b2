-- Change metadata: set fields, remove fields, or replace all fields.
-- KEYS[1] session: the record
-- KEYS[2] operations: operation id -> ms until which it counts; left out without an operation
-- ARGV[1] version: that the record must have; empty means any
-- ARGV[2] replace: 1 means remove all metadata that is not set here
-- ARGV[3] operation: id under which this is applied once; empty means none
-- ARGV[4] window: ms for which that id is remembered
-- ARGV[5] limit: most bytes that the session may have
-- ARGV[6] removals: their number
-- ARGV[7..] rest: the fields to remove, then field, value pairs
-- Reply: OK | GONE | MOVED handle | CONFLICT version | TOO_LARGE size
--- @include "now"
--- @include "open"
--- @include "hset_all"
--- @include "hdel_all"
local key, operation, limit = KEYS[1], ARGV[3], tonumber(ARGV[5])
local reply, _, _, _, _, version, bound = open(key, now, 'v', 'z')
if reply then return reply end
version, bound = parse_int(version), parse_int(bound) or math.huge
if not version then return CORRUPT end
if operation ~= '' then
--- @include "applied"
  if applied(KEYS[2], operation, now) then return OK end
end
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= version then return {CONFLICT, version} end

local first, size = 7 + ARGV[6], bound
local fields, seen, removed = {'v', version + 1, 'z', 0}, {}, {}
for index = first, #ARGV, 2 do
  seen[ARGV[index]] = true
  fields[#fields + 1] = ARGV[index]
  fields[#fields + 1] = ARGV[index + 1]
  size = size + #ARGV[index] + #ARGV[index + 1]
end
local function remove(field)
  if not seen[field] then removed[#removed + 1] = field end
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
  size = measure(key, bound, limit, ARGV, first, removed)
  if size > limit then return {TOO_LARGE, size} end
end
fields[4] = size
hset_all(key, fields)
hdel_all(key, removed)
if operation ~= '' then
--- @include "remember"
  remember(KEYS[2], operation, now, ARGV[4])
  -- No id counts longer than this one.
  redis.call('PEXPIREAT', KEYS[2], now + ARGV[4])
end
return OK
