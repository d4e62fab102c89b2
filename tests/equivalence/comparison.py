"""The clock of comparisons between emulator and server, and the forms in which replies and keys are compared."""

from __future__ import annotations

from chuk_sessions.core import grants, index_operations, operations, queue_operations
from chuk_sessions.core.statuses import OK

_HASHES = (operations.READ, operations.LOAD, operations.FETCH, grants.GRANTS, queue_operations.ENDPOINTS)
"""The operations that reply with fields of a hash."""

FAR_MS = 10**9
"""The clock of the tests is this far ahead of the server's own clock, so the server never expires a key."""


def keys_on_server(client, now):
    """Return the keys that have not expired at `now` (ms), each with its content and expiration time."""
    found = {}
    for key in client.scan_iter(count=1000):
        content, expiration = content_of(client, key), expires_at(client, key)
        if content is not None and (expiration is None or expiration > now):
            found[key.decode()] = content, expiration
    return found


def remove_expired(client, now):
    """Remove the keys that have expired at `now` (ms).

    The server's own clock keeps them, and commands know no other clock.
    """
    for key in client.scan_iter(count=1000):
        expiration = expires_at(client, key)
        if expiration is not None and expiration <= now:
            client.delete(key)


def content_of(client, key):
    """Return a hash as a dict, a sorted set as a list of members with scores, a stream as a list of the fields of its
    entries, and None for other types. The server's own clock sets the ids of entries.
    """
    match client.type(key):
        case b"hash":
            return client.hgetall(key)
        case b"zset":
            return client.zrange(key, 0, -1, withscores=True)
        case b"stream":
            return [flat for _, flat in client.eval("return redis.call('XRANGE', KEYS[1], '-', '+')", 1, key)]
    return None


EXPIRES_AT = """
local latest = -1
for _ = 1, 5 do
  local time, left = redis.call('TIME'), redis.call('PTTL', KEYS[1])
  if left >= 0 then latest = math.max(latest, time[1] * 1000 + math.floor(time[2] / 1000) + left) end
end
return latest
"""


def expires_at(client, key):
    """Return the time (ms) at which a key expires, or None.

    PEXPIRETIME needs Redis 7. On older servers, the clock may advance between TIME and PTTL, and the sum is then a ms
    too low. The script therefore returns the highest of several sums.
    """
    latest = client.eval(EXPIRES_AT, 1, key)
    return None if latest < 0 else latest


def comparable(operation, reply):
    """Return a reply without the order of hash fields, which servers do not define, and without ids of entries."""
    if operation in _HASHES and reply[0] == OK:
        return [OK, dict(zip(reply[1][::2], reply[1][1::2], strict=True)), *reply[2:]]
    if operation is operations.PROGRESS:
        # The ids of events contain the server's own time.
        masked = [bool(part) if place % 6 == 3 else part for place, part in enumerate(reply[2])]
        return [OK, reply[1], masked]
    if operation is index_operations.READ_EVENTS and reply[0] == OK:
        return [OK, [flat for _, flat in reply[1]]]
    return reply
