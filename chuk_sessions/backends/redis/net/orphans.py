"""Cleanup of transports and tasks whose event loop was closed before they were.

A loop should be shut down before it is closed, but not every program does that.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any


def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task, whose event loop may be closed."""
    if not task.get_loop().is_closed():
        task.cancel()
    elif task.done():
        # Its callbacks can no longer run.
        _retrieve_exception(task)
    else:
        # The task can neither continue nor be canceled, and asyncio would log that when it is garbage-collected.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        _retrieve_exception(task._fut_waiter)  # type: ignore[attr-defined]


def _retrieve_exception(future: asyncio.Future[Any] | None) -> None:
    """Prevent asyncio from logging that nothing has retrieved the exception of a future."""
    if future is not None and future.done() and not future.cancelled():
        future.exception()


def close_orphan(transport: asyncio.BaseTransport) -> None:
    """Close the socket of a transport, and suppress the transport's ResourceWarning.

    asyncio's transports need their event loop to close. This function takes the last step directly, which an open loop
    would schedule. uvloop closes sockets with the loop and issues its own warning, so there is nothing left to do.
    """
    plain: Any = transport
    encrypted = getattr(transport, "_ssl_protocol", None)
    if encrypted is not None:
        plain._closed = True
        plain = encrypted._transport
    last_step = getattr(plain, "_call_connection_lost", None)
    if last_step is not None and getattr(plain, "_sock", None) is not None:
        plain._closing = True
        with suppress(RuntimeError):  # TLS notifies its protocol through the closed loop, after it closes the socket
            last_step(None)
