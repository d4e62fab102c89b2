-- Write the owner and metadata of a session in another encoding, if they are as they were read. What they mean stays, so the
-- version stays, too, and so do deadline and last access.
-- KEYS[1] session: the record
-- KEYS[2] users: handle -> hash of its user
-- ARGV[1] handle: of the session
-- ARGV[2] created: the time of creation that the record must have, ms
-- ARGV[3] version: that the record must have
-- ARGV[4] user: hash of the user; empty means that the index stays
-- ARGV[5] removals: number of fields to remove
-- ARGV[6..] rest: the fields to remove, then field, value pairs to set; the first is `s` and the salt, if values have one
-- Reply: OK | GONE | MOVED handle | CONFLICT version (or another call has encrypted more) | OTHER_SALT salt (of the record)
--- @include "now"
--- @include "open"
--- @include "measure"
--- @include "hset_all"
--- @include "hdel_all"
local key, first = KEYS[1], 6 + ARGV[5]
local reply, _, _, _, _, created, version, bound = open(key, now, 'c', 'v', 'z')
if reply then return reply end
if not parse_int(version) then return CORRUPT end
if created ~= ARGV[2] or version ~= ARGV[3] then return {CONFLICT, parse_int(version)} end
local is_salted = ARGV[first] == 's'
if is_salted then
--- @include "other_salt"
  local refusal = other_salt(key, ARGV[first + 1])
  if refusal then return refusal end
elseif first > 6 then
--- @include "keeps_encrypted"
  if keeps_encrypted(key, first) then return {CONFLICT, parse_int(version)} end
end
-- The limit of the size does not apply: no data was added.
local fields, removed = {'z', measure(key, parse_int(bound) or math.huge, 9007199254740991, ARGV, is_salted and first + 2 or first, {})}, {}
for index = first, #ARGV do fields[#fields + 1] = ARGV[index] end
for index = 6, first - 1 do removed[#removed + 1] = ARGV[index] end
hset_all(key, fields)
hdel_all(key, removed)
if ARGV[4] ~= '' then redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1]) end
return OK
