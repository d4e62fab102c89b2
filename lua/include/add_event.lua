-- Add an event to the stream of the bucket, and drop the oldest ones above `most`. core/event_entries.py has the format.
local function add_event(events, most, sandbox, handle, described, created, lifetime, owner, salt)
  if salt then
    redis.call(
      'XADD', events, 'MAXLEN', '~', most, '*', sandbox, handle, 'k', described, 'c', created, 'd', lifetime, 'u', owner,
      's', salt
    )
  else
    redis.call(
      'XADD', events, 'MAXLEN', '~', most, '*', sandbox, handle, 'k', described, 'c', created, 'd', lifetime, 'u', owner
    )
  end
end
