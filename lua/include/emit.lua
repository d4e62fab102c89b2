-- Write an event of a session, with texts from its record: its creation time, version, owner, salt, and the most events.
-- This is a block that is pasted where it is included, not a function, because creating one costs a tenth of the event.
-- Reads these locals of the including script: events, sandbox, handle, letter, pointer (false if no id replaces the session),
-- deadline, created, version, owner, salt, most. Parsing finds damaged numbers. Only what would fail here is checked.
if most ~= '10000' and not (most and #most <= 15 and string.find(most, '^[1-9]%d*$')) then most = '10000' end
local described, start = letter .. (version or 0), tonumber(created)
if pointer then described = described .. ' ' .. pointer end
local lifetime = start and deadline - start or deadline
--- @paste "add_event"
