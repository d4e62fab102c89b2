-- Change metadata: set fields, remove fields, or replace all fields; first compare values, and move the deadline on request.
-- KEYS[1] session: the record
-- KEYS[2] operations: operation id -> ms until which it counts; left out without an operation and a ttl
-- KEYS[3] deadlines: handle -> when the session expires, ms; left out without a ttl
-- KEYS[4] sandboxes: sandbox -> when its first session in this bucket expires, ms; left out without a ttl and updates
-- KEYS[5] events: the stream of this bucket; left out like the previous ones
-- ARGV[1] version: that the record must have; empty means any
-- ARGV[2] replace: 1 means remove all metadata that is not set here
-- ARGV[3] operation: id under which this is applied once; empty means none
-- ARGV[4] window: ms for which that id is remembered
-- ARGV[5] limit: most bytes that the session may have
-- ARGV[6] ttl: ms from now until the new deadline; empty means that the deadline stays
-- ARGV[7] latest: the latest deadline allowed, ms
-- ARGV[8] handle: of the session
-- ARGV[9] retention: ms that a record outlives its session
-- ARGV[10] sandbox: its name
-- ARGV[11] updates: 1 means that a change of metadata is an event, if the session emits events
-- ARGV[12] removals: their number
-- ARGV[13] expected: number of fields to compare
-- ARGV[14..] rest: the fields to remove, then pairs of a field and the value that it must have (empty means that it must not
-- exist), then field, value pairs to set; the first may be `s` and the salt under which the other values are encrypted
-- Reply: OK | APPLIED | GONE | MOVED handle | CONFLICT version | OTHER_SALT salt (of the record; nothing was written)
-- Reply: MISMATCH {field...} | TOO_FAR deadline | TOO_LARGE size
--- @include "now"
--- @include "open"
--- @include "hset_all"
--- @include "hdel_all"
local key, operation, limit, ttl = KEYS[1], ARGV[3], tonumber(ARGV[5]), tonumber(ARGV[6])
local reply, _, deadline, accessed, idle, version, bound, emits = open(key, now, 'v', 'z', 'e')
if reply then return reply end
version, bound = parse_int(version), parse_int(bound) or math.huge
if not version then return CORRUPT end
if operation ~= '' then
--- @include "applied"
  if applied(KEYS[2], operation, now) then return APPLIED end
end
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= version then return {CONFLICT, version} end
local first_expected = 14 + ARGV[12]
local first, different = first_expected + 2 * ARGV[13], {}
local is_salted, replaces = ARGV[first] == 's', ARGV[2] == '1'
if is_salted then
--- @include "other_salt"
  local refusal = other_salt(key, ARGV[first + 1])
  if refusal then return refusal end
end
for index = first_expected, first - 1, 2 do
  local value = redis.call('HGET', key, ARGV[index]) or ''
  if value ~= ARGV[index + 1] then different[#different + 1] = ARGV[index] end
end
if #different > 0 then return {MISMATCH, different} end
if ttl and now + ttl > tonumber(ARGV[7]) then return {TOO_FAR, deadline} end

--- @include "collect_changes"
if size > limit then
--- @include "measure"
  size = measure(key, bound, limit, ARGV, is_salted and first + 2 or first, removed)
  if size > limit then return {TOO_LARGE, size} end
end
fields[4] = size
local updates, events, sandbox, handle = ARGV[11] == '1', KEYS[5], ARGV[10], ARGV[8]
if emits and (ttl or updates) then
--- @include "emit_merge"
end
hset_all(key, fields)
hdel_all(key, removed)
if ttl then
--- @include "move_deadline"
  move_deadline(key, KEYS[3], KEYS[4], ARGV[8], ARGV[10], version, now + ttl, accessed, idle, ARGV[9], emits)
end
if operation ~= '' then
--- @include "remember"
--- @include "expire_with_last"
  remember(KEYS[2], operation, now, ARGV[4])
  expire_with_last(KEYS[2])
end
return OK
