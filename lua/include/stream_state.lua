-- Return the id of a stream's last entry, how many entries it has had, and how many of those are gone. Redis 6.2 does not
-- count entries. There, none counts as gone.
local function stream_state(events)
  local state, found = redis.pcall('XINFO', 'STREAM', events), {}
  if state.err then return '0-0', 0, 0 end
  for index = 1, #state, 2 do found[state[index]] = state[index + 1] end
  local added = found['entries-added'] or found['length']
  return found['last-generated-id'], added, added - found['length']
end
