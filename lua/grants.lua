-- List the grants of a session that count; write nothing.
-- KEYS[1] session: the record
-- Reply: OK {field, value...} | GONE | MOVED handle
--- @include "now"
--- @include "open"
--- @include "list_grants"
local reply = open(KEYS[1], now)
if reply then return reply end
return {OK, (list_grants(KEYS[1], now))}
