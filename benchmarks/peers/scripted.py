"""The scripts of this library, run through other clients: the same work on the server, another way there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Iterator
from itertools import count, cycle
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers.worker import Calls, Peer

FRESH = "FRESH"
"""What stands for a text that is another one in each call; see `workload.py`."""


class Call(NamedTuple):
    """KEYS and ARGV."""

    keys: list[str]
    args: list[str]


class Scripted(Peer):
    """Subclasses connect, load the scripts, and run them. Those with a client of the usual kind call it `_client`."""

    _client: Any

    async def start(self) -> None:
        """Connect, and read the workload."""
        workload = _read(Path(self.options["workload"]))
        self.scripts: dict[str, str] = {name: work["script"] for name, work in workload.items()}
        self._calls = {name: [Call(*call) for call in work["calls"]] for name, work in workload.items()}
        self._fresh = {name: work["fresh"] for name, work in workload.items()}
        self._tokens = (f"{os.getpid():011x}{number:011x}" for number in count())
        self._stock: list[str] = []
        self._keys = [f"low:{number}" for number in range(1000)]
        self.operations = (*workload, "get", "setex", "remove")
        await self.connect()
        for key in self._keys:
            await self.setex_one(key)

    async def connect(self) -> None:
        """Connect, and load the scripts."""
        raise NotImplementedError

    def run(self, name: str, call: Call) -> Awaitable[Any]:
        """Run a script."""
        raise NotImplementedError

    def setex_one(self, key: str) -> Awaitable[Any]:
        """Store a value for an hour."""
        raise NotImplementedError

    def get_one(self, key: str) -> Awaitable[Any]:
        """Get it."""
        awaitable: Awaitable[Any] = self._client.get(key)
        return awaitable

    def remove_one(self, key: str) -> Awaitable[Any]:
        """Delete it."""
        awaitable: Awaitable[Any] = self._client.delete([key])
        return awaitable

    async def prepare(self, operation: str, callers: int, seconds: float) -> None:
        """To delete or extend, each once: as many sessions as can be made in that time."""
        self._stock = []
        if operation in ("delete", "extend"):
            end = time.perf_counter() + seconds
            made = self._made(self._calls["allocate"], self._new_tokens())
            for call in made:
                await self.run("allocate", call)
                if time.perf_counter() > end:
                    return

    def calls(self, operation: str) -> Calls:
        """Calls of that operation."""
        if operation not in self._calls:
            return map(getattr(self, f"{operation}_one"), cycle(self._keys))
        return (self.run(operation, call) for call in self.inputs(operation))

    def inputs(self, operation: str) -> Iterator[Call]:
        """KEYS and ARGV of one call after another."""
        calls = self._calls[operation]
        if not self._fresh[operation]:
            return cycle(calls)
        return self._made(calls, iter(self._stock) if operation in ("delete", "extend") else self._tokens)

    def _made(self, calls: list[Call], tokens: Iterator[str]) -> Iterator[Call]:
        for (keys, args), token in zip(cycle(calls), tokens, strict=False):
            yield Call([part.replace(FRESH, token) for part in keys], [part.replace(FRESH, token) for part in args])

    def _new_tokens(self) -> Iterator[str]:
        for token in self._tokens:
            self._stock.append(token)
            yield token


def _read(path: Path) -> dict[str, Any]:
    workload: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return workload
