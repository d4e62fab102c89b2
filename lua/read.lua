-- Read a whole session; write nothing.
-- KEYS[1] session: the record
-- KEYS[2] operations: operation id -> ms until which it counts; left out unless a login copies them
-- Reply: OK {field, value...} now (ms) and, with the operations, {operation id, until...} | GONE | MOVED handle
--- @include "now"
local key, operations = KEYS[1], KEYS[2]
--- @include "whole"
--- @include "alive"
if not operations then return {OK, stored, now} end
return {OK, stored, now, redis.call('ZRANGEBYSCORE', operations, string.format('(%.0f', now), '+inf', 'WITHSCORES')}
