"""The resolver of names. A slow name server must not block the lookups of other names."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

_THREADS: Final = 64
"""Most lookups at the same time, each of another name. Those that hang keep their threads for as long as the system's
resolver waits.
"""


class ThreadsResolver(AbstractResolver):
    """The system's resolver, in threads of its own.

    Concurrent lookups of a name share one thread, even after the first callers have given up. Otherwise a few names
    whose servers never answer would soon take all threads.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="webhooks-resolver")
        self._lookups: dict[tuple[str, int], asyncio.Future[list[Any]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name. Raises OSError for a name without addresses."""
        key = (host, int(family))
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, *key)
            self._lookups[key] = lookup
            lookup.add_done_callback(lambda done: self._finished(key, done))
        return [_result(host, port, found) for found in await asyncio.shield(lookup)]

    def _finished(self, key: tuple[str, int], lookup: asyncio.Future[list[Any]]) -> None:
        del self._lookups[key]
        if not lookup.cancelled():
            lookup.exception()  # perhaps nobody waits for it any more

    async def close(self) -> None:
        """Let the threads end, without waiting for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, family: int) -> list[Any]:
    return socket.getaddrinfo(host, None, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)


def _result(host: str, port: int, found: Any) -> ResolveResult:
    family, _, protocol, _, address = found
    return ResolveResult(
        hostname=host,
        host=address[0],
        port=port,
        family=family,
        proto=protocol,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
