"""A small HTTP server for the metrics of a process that serves nothing else, such as a relay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import prometheus_collector


@contextmanager
def serving(host: str, port: int, *managers_or_factories: Any) -> Iterator[int]:
    """Serve the metrics of stores, and of this process, at `/metrics` in a thread of its own. Yields the port.

    Port 0 chooses a free one.

    Raises:
        OSError: the port cannot be used.
        ImportError: the package of the extra `prometheus` is missing.

    """
    collector = prometheus_collector(*managers_or_factories)
    from prometheus_client import (  # noqa: PLC0415  (the line above reports that the package is missing)
        CollectorRegistry,
        ProcessCollector,
        start_http_server,
    )

    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        raise OSError(f"cannot serve metrics at {host}, port {port}: {error}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
