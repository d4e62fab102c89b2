-- Return how far each reader is in this bucket; write nothing.
-- KEYS[1] readers: the state of each reader, see `core/reader_operations.py`
-- KEYS[2] events: the events of this bucket
-- Reply: OK now {name, cursor, unread, id of the oldest unread event or '', lost, owner or '' if it is free...}
--- @include "now"
--- @include "stream_state"
local fields, state, names, readers = redis.call('HGETALL', KEYS[1]), {}, {}, {}
for index = 1, #fields, 2 do
  state[fields[index]] = fields[index + 1]
  if string.sub(fields[index], 1, 1) == 'c' then names[#names + 1] = string.sub(fields[index], 2) end
end
table.sort(names)
local _, added, gone, counted = stream_state(KEYS[2])
for _, name in ipairs(names) do
  local cursor, read, lost = state['c' .. name], tonumber(state['n' .. name]), tonumber(state['l' .. name])
  local oldest = redis.call('XRANGE', KEYS[2], '(' .. cursor, '+', 'COUNT', 1)[1]
  local missed, left = math.max(0, (oldest and gone or added) - read), tonumber(state['u' .. name]) - now
  readers[#readers + 1] = name
  readers[#readers + 1] = cursor
  local unread = oldest and added - read - missed or 0
  -- Redis 6.2 does not count the entries of a stream, so that they are counted here.
  if oldest and not counted then unread = #redis.call('XRANGE', KEYS[2], '(' .. cursor, '+') end
  readers[#readers + 1] = unread
  readers[#readers + 1] = oldest and oldest[1] or ''
  readers[#readers + 1] = lost + missed
  readers[#readers + 1] = left > 0 and left <= tonumber(state['w' .. name]) and state['o' .. name] or ''
end
return {OK, now, readers}
