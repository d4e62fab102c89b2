-- Return whether an owner is the user of a form. `stored` is the field `u`, and `hash` the field `h`. A form that begins with
-- byte 255 is a keyed hash, and one with byte 254 the SHA-1 of a text, so that the call need not contain the text.
local function same_owner(stored, hash, form)
  if hash or not stored or string.byte(form) ~= 254 then return (hash or stored) == form end
  return '\254' .. redis.sha1hex(stored) == form
end
