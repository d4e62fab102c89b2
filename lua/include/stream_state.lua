-- Return the id of a stream's last entry, how many entries it has had, how many of those are gone, and whether the server
-- counts them. Redis 6.2 does not. There, none counts as gone.
local function stream_state(events)
  local state, found = redis.pcall('XINFO', 'STREAM', events), {}
  if state.err then return '0-0', 0, 0, true end
  for index = 1, #state, 2 do found[state[index]] = state[index + 1] end
  local added = found['entries-added'] or found['length']
  return found['last-generated-id'], added, added - found['length'], found['entries-added'] ~= nil
end
