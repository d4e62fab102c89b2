"""Packed batches over plain sockets: what the server can do when a client costs next to nothing.

Ten connections with 64 commands under way each, as `redis-benchmark -c 10 -P 64` has them, packed before the clock
starts.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import socket
import sys
import time
from itertools import cycle, islice
from typing import Any
from urllib.parse import urlsplit

import hiredis

from benchmarks.peers.scripted import Call, Scripted
from benchmarks.peers.worker import tell

CONNECTIONS = 10
DEPTH = 64
BATCHES = 64
PREPARED = 400
"""Batches of commands that can be sent once only: more than a server gets through in a second."""


class Raw(Scripted):
    """Not measured by calls to await: it is read and written here."""

    async def connect(self) -> None:
        """Open the connections, and load the scripts."""
        parts = urlsplit(self.options["url"])
        address = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._sockets = [socket.create_connection(address) for _ in range(CONNECTIONS)]
        self._readers = [hiredis.Reader() for _ in range(CONNECTIONS)]
        self._shas = {name: self._ask("SCRIPT", "LOAD", text) for name, text in self.scripts.items()}

    def _ask(self, *words: Any) -> Any:
        self._sockets[0].sendall(hiredis.pack_command(words))
        while (reply := self._readers[0].gets()) is False:
            self._readers[0].feed(self._sockets[0].recv(65536))
        return reply

    async def setex_one(self, key: str) -> None:
        """Store a value for an hour."""
        self._ask("SET", key, "value", "EX", 3600)

    async def run(self, name: str, call: Call) -> None:
        """Run a script: for preparing."""
        self._ask("EVALSHA", self._shas[name], len(call.keys), *call.keys, *call.args)

    def batches(self, operation: str) -> list[bytes]:
        """Packed commands, DEPTH of them in each."""
        if operation in ("get", "setex", "remove"):
            words = {"get": ("GET",), "setex": ("SET",), "remove": ("DEL",)}[operation]
            more = ("value", "EX", 3600) if operation == "setex" else ()
            packed = (hiredis.pack_command((*words, key, *more)) for key in cycle(self._keys))
        else:
            sha = self._shas[operation]
            packed = (
                hiredis.pack_command(("EVALSHA", sha, len(call.keys), *call.keys, *call.args))
                for call in self.inputs(operation)
            )
        number = PREPARED if self._fresh.get(operation) else BATCHES
        made = (b"".join(islice(packed, DEPTH)) for _ in range(number))
        return [batch for batch in made if batch]

    def measure(self, operation: str, seconds: float) -> dict[str, float]:
        """Keep all connections full."""
        made = self.batches(operation)
        batches = iter(made) if self._fresh.get(operation) else cycle(made)
        cpu, begun = time.process_time(), time.perf_counter()
        done = self._drive(batches, begun + seconds)
        return {"calls": done, "seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}

    def _drive(self, batches: Any, end: float) -> int:
        done, waiting = 0, dict.fromkeys(range(CONNECTIONS), 0)
        with selectors.DefaultSelector() as selector:
            for index, one in enumerate(self._sockets):
                selector.register(one, selectors.EVENT_READ, index)
                waiting[index] = self._send(index, next(batches, b""))
            while any(waiting.values()):
                for key, _ in selector.select():
                    got = self._receive(key.data)
                    done += got
                    waiting[key.data] -= got
                    if not waiting[key.data] and time.perf_counter() < end:
                        waiting[key.data] = self._send(key.data, next(batches, b""))
        return done

    def _send(self, index: int, batch: bytes) -> int:
        if batch:
            self._sockets[index].sendall(batch)
        return DEPTH if batch else 0

    def _receive(self, index: int) -> int:
        reader, got = self._readers[index], 0
        reader.feed(self._sockets[index].recv(1 << 17))
        while (reply := reader.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise RuntimeError(f"the server answered {reply}")
            got += 1
        return got


async def _ready(raw: Raw) -> None:
    await raw.start()
    # What uses up sessions would be measured for less time than it takes to prepare.
    tell({"operations": [name for name in raw.operations if name not in ("delete", "extend")], "version": ""})


def _serve() -> None:
    raw = Raw(json.loads(sys.argv[1]))
    asyncio.run(_ready(raw))
    for line in sys.stdin:
        request = json.loads(line)
        tell({**raw.measure(request["operation"], request["seconds"]), "p50": 0, "p99": 0, "p999": 0})


if __name__ == "__main__":
    _serve()
