-- Read a whole session; write nothing.
-- KEYS[1] session: the record
-- KEYS[2] operations: operation id -> ms until which it counts; left out unless a login copies them
-- Reply: OK {field, value...} now (ms) and, with the operations, {operation id, until...} | GONE | MOVED handle
--- @include "now"
<<<<<<< HEAD
--- @include "open"
local reply = open(KEYS[1], now)
if reply then return reply end
if not KEYS[2] then return {OK, redis.call('HGETALL', KEYS[1]), now} end
local operations = redis.call('ZRANGEBYSCORE', KEYS[2], string.format('(%.0f', now), '+inf', 'WITHSCORES')
return {OK, redis.call('HGETALL', KEYS[1]), now, operations}
=======
local key, operations = KEYS[1], KEYS[2]
--- @include "whole"
--- @include "alive"
if not operations then return {OK, stored} end
return {OK, stored, redis.call('ZRANGEBYSCORE', operations, string.format('(%.0f', now), '+inf', 'WITHSCORES')}
>>>>>>> main
