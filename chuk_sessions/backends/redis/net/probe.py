"""A probe of idle connections. A firewall that dropped a connection gives no sign of it, and accepts what is sent."""

from __future__ import annotations

import asyncio
import socket

from .connection import Connection
from .resp import NotSentError, ReplyError, ReplyLostError, pack

_PROBE_TIMEOUT = 0.5
"""Seconds for the reply to a probe."""

_PING = pack((b"PING",))
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPALIVE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
_MIN_USER_TIMEOUT = 5.0
"""Seconds for which sent data may stay unacknowledged at least, before the kernel closes the connection."""


async def probe(connection: Connection) -> bool:
    """Return whether the connection can be used. Abort it if it does not reply within `_PROBE_TIMEOUT`.

    A connection with callers is kept, because the outcomes of their calls would become unknown. Their deadlines show
    whether it is alive.
    """
    if connection.close_reason is not None:
        return False
    try:
        await connection.send(_PING, asyncio.get_running_loop().time() + _PROBE_TIMEOUT)
    except ReplyError:
        pass  # an error is a reply, too
    except (ReplyLostError, NotSentError):
        if connection.has_callers:
            return True
        connection.abort(TimeoutError("the connection did not reply after it had been idle"))
        return False
    connection.mark_alive()
    return True


def keepalive_options(call_timeout: float) -> dict[int, int]:
    """Return the TCP options that let the kernel detect dead peers, as far as the platform supports them."""
    values = {**_KEEPALIVE, "TCP_USER_TIMEOUT": round(1000 * max(call_timeout, _MIN_USER_TIMEOUT))}
    return {getattr(socket, name): value for name, value in values.items() if hasattr(socket, name)}
