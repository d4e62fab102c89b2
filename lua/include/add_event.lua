-- Add an event to the stream of the bucket, and drop the oldest ones above `most`. core/event_entries.py has the format.
-- This is a block like `emit`. Reads these locals of the including script: events, most, sandbox, handle, described, created,
-- lifetime, owner, salt.
if salt then
  redis.call(
    'XADD', events, 'MAXLEN', '~', most, '*', sandbox, handle, 'k', described, 'c', created or '', 'd', lifetime,
    'u', owner or '', 's', salt
  )
else
  redis.call(
    'XADD', events, 'MAXLEN', '~', most, '*', sandbox, handle, 'k', described, 'c', created or '', 'd', lifetime,
    'u', owner or ''
  )
end
