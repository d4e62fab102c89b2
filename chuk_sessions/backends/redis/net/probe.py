"""Asks an idle connection for a sign of life. A firewall that has dropped it says nothing, and takes what is sent."""

from __future__ import annotations

import asyncio
import socket

from .connection import Connection
from .resp import NotSentError, ReplyError, ReplyLostError, pack

PATIENCE = 0.5
"""Seconds for the answer."""

_PING = pack((b"PING",))
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPALIVE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
_LEAST_USER_TIMEOUT = 5.0


async def answers(link: Connection) -> bool:
    """Return whether the connection is alive. One that does not answer in time is ended."""
    if link.close_reason is not None:
        return False
    try:
        await link.send(_PING, asyncio.get_running_loop().time() + PATIENCE)
    except ReplyError:
        pass  # an answer as good as any
    except (ReplyLostError, NotSentError):
        link.abort(TimeoutError("the connection did not answer after it had been idle"))
        return False
    link.mark_alive()
    return True


def keepalive_options(call_timeout: float) -> dict[int, int]:
    """Return the TCP options that have the kernel find dead peers, as far as the platform has them."""
    values = {**_KEEPALIVE, "TCP_USER_TIMEOUT": round(1000 * max(call_timeout, _LEAST_USER_TIMEOUT))}
    return {getattr(socket, name): value for name, value in values.items() if hasattr(socket, name)}
