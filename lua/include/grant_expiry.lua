--- @include "parse_int"
-- Return when a grant expires, ms, from its field. The number comes first. A missing or damaged grant has expired.
local function grant_expiry(stored)
  return stored and parse_int(string.match(stored, '^[^ ]*')) or 0
end
