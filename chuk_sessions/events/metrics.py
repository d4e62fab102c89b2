"""Metrics of a relay: the survey of its store, and the port that serves them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib import import_module

from ..backends.sharing import SessionFactory
from .survey import Survey


@asynccontextmanager
async def metrics_served(
    source: SessionFactory | str, *, host: str, port: int, sandboxes: Collection[str] = ()
) -> AsyncIterator[int]:
    """Survey a store, and serve the metrics of this process at a port, which is yielded. Port 0 chooses a free one.

    Raises:
        ValueError: an argument is malformed.
        OSError: the port cannot be used.
        ImportError: the package of the extra `prometheus` is missing.

    """
    # By name, because events need no telemetry.
    server = import_module("chuk_sessions.telemetry.server")
    async with Survey(source, sandboxes=sandboxes) as survey:
        with server.serving(host, port, survey) as chosen:
            yield chosen
