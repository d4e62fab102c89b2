--- @include "same_owner"
-- Return nil if a session belongs to a user, and otherwise OTHER_OWNER; or OTHER_ENCODING if the caller lacks the form in which
-- the record has its owner, so that nobody can tell. `stored` is the field `u`. A keyed hash of the owner is in the field `h`
-- and begins with byte 255, which no text does. `owner` and `other` are the caller's forms of the user; `other` may be empty.
local function compare_owner(key, stored, owner, other)
  local hash = redis.call('HGET', key, 'h')
  if not (hash or stored) then return OTHER_OWNER end
  if same_owner(stored, hash, owner) or same_owner(stored, hash, other) then return nil end
  for _, form in ipairs({owner, other}) do
    if form ~= '' and (string.byte(form) == 255) == (hash ~= false) then return OTHER_OWNER end
  end
  return OTHER_ENCODING
end
