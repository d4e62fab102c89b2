-- Touch or refuse the session that exists, or let the new one replace it.
-- This is a block that is pasted where it is included, not a function. Reads these locals of the including script: key, now,
-- deadlines, handle, retention, mode, owner, other_owner. Sets these: `reply`, if the session is not alive; and `created` and
-- `version`, if it is replaced. Any other outcome finishes the script.
--- @include "open"
local deadline, accessed, idle, current_owner, emits, _
reply, _, deadline, accessed, idle, current_owner, emits = open(key, now, 'u', 'e')
if not reply and mode == 'replace' then
--- @include "succeed"
  created, version = succeed(key, now)
  if not version then return CORRUPT end
elseif not reply then
  if mode == 'create' then return EXISTS end
  if owner ~= '' and owner ~= current_owner then
--- @include "compare_owner"
    local difference = compare_owner(key, current_owner, owner, other_owner)
    if difference then return difference end
  end
--- @include "touch"
  return EXISTS
end
