"""Keyspaces: the keys of a store, to walk through and to read. Nothing is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Protocol

from ..backends.memory.backend import MemoryBackend
from ..backends.memory.keyspace import Content
from ..core.inspection import InspectedServer, Inspection, RefusedError, UnansweredError

_PAGE = 200
"""Keys that one SCAN looks at."""
_SAMPLED_PAGES = 200
"""Most calls of SCAN for a sample: other applications may have most of the keys."""


class Progress(NamedTuple):
    """The progress of a walk.

    Attributes:
        done: keys that have been looked at.
        total: how many keys there are, about; 0 if that is unknown.
        server: the server that is being walked; empty for the emulator.

    """

    done: int
    total: int
    server: str


OnProgress = Callable[[Progress], object]


class Keyspace(Protocol):
    """The keys of a store."""

    def pages(self, pattern: str, sample: int | None, on_progress: OnProgress) -> AsyncIterator[list[bytes]]:
        """Yield the keys that match a pattern, in pages; with `sample`, only about as many."""

    async def ask(self, command: str, key: str, *args: str | bytes | int) -> Any:
        """Return the reply to a command that reads a key. Raises RefusedError and UnansweredError."""


class ServersKeyspace:
    """The keys on the primaries of a deployment.

    Attributes:
        failures: why the keys of a primary could not be walked through, by its address.

    """

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self.failures: dict[str, str] = {}

    async def pages(self, pattern: str, sample: int | None, on_progress: OnProgress) -> AsyncIterator[list[bytes]]:
        """Yield the keys that match a pattern, in pages; with `sample`, only about as many, from all primaries."""
        primaries, done, total = self._inspection.primaries, 0, 0
        for server in primaries:
            total += await _size(server)
        for server in primaries:
            left = None if sample is None else max(1, sample // len(primaries))
            try:
                async for looked_at, found in _scan(server, pattern, left):
                    done += looked_at
                    on_progress(Progress(min(done, total) if total else done, total, server.address))
                    yield found
            except (RefusedError, UnansweredError) as failure:
                self.failures[server.address] = str(failure)

    async def encoding(self, key: str) -> tuple[str, bytes]:
        """Return the address of the server that has a key, and how it encodes the value. Raises as `ask` does."""
        server = self._holder(key)
        return server.address, await server.query("OBJECT", "ENCODING", key)

    async def ask(self, command: str, key: str, *args: str | bytes | int) -> Any:
        """Return the reply to a command that reads a key. Raises RefusedError and UnansweredError."""
        return await self._holder(key).query(command, key, *args)

    def _holder(self, key: str) -> InspectedServer:
        server = self._inspection.holder(key)
        if server is None:
            raise UnansweredError("no primary has the slot of the key")
        return server


async def _size(server: InspectedServer) -> int:
    try:
        return int(await server.query("DBSIZE"))
    except (RefusedError, UnansweredError):
        return 0


async def _scan(server: InspectedServer, pattern: str, left: int | None) -> AsyncIterator[tuple[int, list[bytes]]]:
    cursor, pages = b"0", 0
    while True:
        cursor, found = await server.query("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE)
        pages += 1
        yield _PAGE, found if left is None else found[:left]
        if left is not None:
            left -= len(found)
        if cursor == b"0" or (left is not None and (left <= 0 or pages == _SAMPLED_PAGES)):
            return


class EmulatorKeyspace:
    """The keys of the emulator, as they were at one moment."""

    def __init__(self, backend: MemoryBackend) -> None:
        self._snapshot = backend.snapshot()
        self._now = backend.clock.now_ms()

    async def pages(self, pattern: str, sample: int | None, on_progress: OnProgress) -> AsyncIterator[list[bytes]]:
        """Yield the keys that match a pattern; with `sample`, only as many."""
        found = [key.encode() for key in self._snapshot if fnmatchcase(key, pattern)]
        yield found if sample is None else found[:sample]
        on_progress(Progress(len(self._snapshot), len(self._snapshot), ""))

    async def ask(self, command: str, key: str, *args: str | bytes | int) -> Any:
        """Return the reply to a command that reads a key, for the few commands that checks use."""
        content, expiry = self._snapshot.get(key, (None, None))
        if command == "PTTL":
            return -2 if content is None else -1 if expiry is None else expiry - self._now
        if command == "EXISTS":
            return sum(name in self._snapshot for name in (key, *args))
        if command == "TYPE":
            return _type_of(content)
        if command == "HGETALL":
            pairs = content.items() if isinstance(content, dict) else ()
            return [part for pair in pairs for part in pair]
        entries: Any = content if isinstance(content, list) else []
        if command == "ZRANGE":
            shown = entries[int(args[0]) : int(args[1]) + 1]
            return [part for member, score in shown for part in (member, repr(score).encode())]
        scores = dict(entries)
        found = [repr(scores[member]).encode() if member in scores else None for member in args]
        return found if command == "ZMSCORE" else found[0]


def _type_of(content: Content | None) -> bytes:
    if content is None:
        return b"none"
    if isinstance(content, dict):
        return b"hash"
    return b"stream" if content and isinstance(content[0], list) else b"zset"
