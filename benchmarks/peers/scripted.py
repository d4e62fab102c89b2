"""The base of peers that run this library's scripts: the server does the same work, only the client differs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Iterator
from itertools import count, cycle
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers.worker import Calls, Peer

PLACEHOLDER = "FRESH"
"""A part of KEYS and ARGV in the workload file that each call replaces with a handle of its own."""

CONSUMING = ("delete", "extend")
"""Operations that run once on each session that `prepare` has created."""


class Call(NamedTuple):
    """The KEYS and ARGV of a script."""

    keys: list[str]
    args: list[str]


class Scripted(Peer):
    """A peer that runs scripts. Subclasses connect, load the scripts, and run them.

    Subclasses whose client has the usual methods name it `_client`.
    """

    _client: Any

    async def start(self) -> None:
        """Connect, read the workload, and store the single values."""
        workload = _read(Path(self.options["workload"]))
        self.scripts: dict[str, str] = {name: entry["script"] for name, entry in workload.items()}
        self._calls = {name: [Call(*call) for call in entry["calls"]] for name, entry in workload.items()}
        self._single_use: dict[str, bool] = {name: entry["single_use"] for name, entry in workload.items()}
        self._handles = (f"{os.getpid():011x}{number:011x}" for number in count())
        self._created: list[str] = []
        self._keys = [f"low:{number}" for number in range(1000)]
        self.operations = (*workload, "get", "setex", "remove")
        await self.connect()
        for key in self._keys:
            await self.setex_value(key)

    async def connect(self) -> None:
        """Connect, and load the scripts."""
        raise NotImplementedError

    def run(self, name: str, call: Call) -> Awaitable[Any]:
        """Run a script."""
        raise NotImplementedError

    def setex_value(self, key: str) -> Awaitable[Any]:
        """Store a value for an hour."""
        raise NotImplementedError

    def get_value(self, key: str) -> Awaitable[Any]:
        """Get a value."""
        awaitable: Awaitable[Any] = self._client.get(key)
        return awaitable

    def remove_value(self, key: str) -> Awaitable[Any]:
        """Delete a value."""
        awaitable: Awaitable[Any] = self._client.delete([key])
        return awaitable

    async def prepare(self, operation: str, callers: int, seconds: float) -> None:
        """Create sessions for that many seconds, if the operation consumes them."""
        self._created = []
        if operation not in CONSUMING:
            return
        end = time.perf_counter() + seconds
        for call in self._filled_in(self._calls["allocate"], self._new_handles()):
            await self.run("allocate", call)
            if time.perf_counter() > end:
                return

    def calls(self, operation: str) -> Calls:
        """Yield calls of that operation, ready to await."""
        if operation not in self._calls:
            return map(getattr(self, f"{operation}_value"), cycle(self._keys))
        return (self.run(operation, call) for call in self.script_calls(operation))

    def script_calls(self, operation: str) -> Iterator[Call]:
        """Yield the KEYS and ARGV of one call after another."""
        calls = self._calls[operation]
        if not self._single_use[operation]:
            return cycle(calls)
        return self._filled_in(calls, iter(self._created) if operation in CONSUMING else self._handles)

    def _filled_in(self, calls: list[Call], handles: Iterator[str]) -> Iterator[Call]:
        for (keys, args), handle in zip(cycle(calls), handles, strict=False):
            yield Call(
                [part.replace(PLACEHOLDER, handle) for part in keys],
                [part.replace(PLACEHOLDER, handle) for part in args],
            )

    def _new_handles(self) -> Iterator[str]:
        """Yield new handles, and remember them as those of created sessions."""
        for handle in self._handles:
            self._created.append(handle)
            yield handle


def _read(path: Path) -> dict[str, Any]:
    workload: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return workload
