"""Closes transports whose event loop was closed before them. A loop should be shut down first, but not all are."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any


def close_orphan(transport: asyncio.BaseTransport) -> None:
    """Close the socket, and keep the transport from warning of it.

    asyncio's transports close with their loop's help; this takes the last step for them, which a living loop would be
    asked for. uvloop closes sockets with the loop, and warns by itself: then there is nothing left to do.
    """
    plain: Any = transport
    encrypted = getattr(transport, "_ssl_protocol", None)
    if encrypted is not None:
        plain._closed = True
        plain = encrypted._transport
    last_step = getattr(plain, "_call_connection_lost", None)
    if last_step is not None and getattr(plain, "_sock", None) is not None:
        plain._closing = True
        with suppress(RuntimeError):  # TLS would tell its protocol through the loop, after the socket is closed
            last_step(None)
