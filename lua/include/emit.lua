--- @include "add_event"
-- Write an event of a session, with texts from its record. `letter` stands for the kind, and `pointer` leads to the id that
-- replaces the session, if there is one. If a number in the record is damaged, the event says that nothing is known.
local function emit(events, sandbox, handle, letter, pointer, deadline, created, version, owner, salt, most)
  local lifetime = deadline
  if
    created and version and most and #created <= 15 and #version <= 15 and #most <= 15
    and string.find(created .. ' ' .. version .. ' ' .. most, '^%d+ %d+ [1-9]%d*$')
  then
    lifetime = deadline - created
  else
    created, version, owner, salt, most = '', '0', nil, nil, '10000'
  end
  local described = letter .. version
  if pointer then described = described .. ' ' .. pointer end
  add_event(events, most, sandbox, handle, described, created, lifetime, owner or '', salt)
end
