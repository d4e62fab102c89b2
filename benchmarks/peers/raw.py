"""The peer raw: packed batches over plain sockets, which show what the server can do when the client costs little.

It keeps 64 commands in flight on each of ten connections, as `redis-benchmark -c 10 -P 64` does. The commands are
packed before the clock starts.
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

from benchmarks.peers.scripted import CONSUMING, Call, Scripted
from benchmarks.peers.worker import write_line

CONNECTIONS = 10
DEPTH = 64
BATCHES = 64
SINGLE_USE_BATCHES = 400
"""The number of batches of single-use commands: more than a server executes in a second."""


class Raw(Scripted):
    """A peer without awaitable calls: it reads and writes its sockets itself."""

    async def connect(self) -> None:
        """Open the connections, and load the scripts."""
        parts = urlsplit(self.options["url"])
        address = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._sockets = [socket.create_connection(address) for _ in range(CONNECTIONS)]
        self._readers = [hiredis.Reader() for _ in range(CONNECTIONS)]
        self._shas = {name: self._execute("SCRIPT", "LOAD", text) for name, text in self.scripts.items()}

    def _execute(self, *words: Any) -> Any:
        self._sockets[0].sendall(hiredis.pack_command(words))
        while (reply := self._readers[0].gets()) is False:
            self._readers[0].feed(self._sockets[0].recv(65536))
        return reply

    async def setex_value(self, key: str) -> None:
        """Store a value for an hour."""
        self._execute("SET", key, "value", "EX", 3600)

    async def run(self, name: str, call: Call) -> None:
        """Run a script, in preparation."""
        self._execute("EVALSHA", self._shas[name], len(call.keys), *call.keys, *call.args)

    def batches(self, operation: str) -> list[bytes]:
        """Return batches of DEPTH packed commands."""
        if operation in ("get", "setex", "remove"):
            command = {"get": "GET", "setex": "SET", "remove": "DEL"}[operation]
            arguments = ("value", "EX", 3600) if operation == "setex" else ()
            packed = (hiredis.pack_command((command, key, *arguments)) for key in cycle(self._keys))
        else:
            sha = self._shas[operation]
            packed = (
                hiredis.pack_command(("EVALSHA", sha, len(call.keys), *call.keys, *call.args))
                for call in self.script_calls(operation)
            )
        number = SINGLE_USE_BATCHES if self._single_use.get(operation) else BATCHES
        batches = (b"".join(islice(packed, DEPTH)) for _ in range(number))
        return [batch for batch in batches if batch]

    def measure(self, operation: str, seconds: float) -> dict[str, float]:
        """Keep all connections full for that many seconds."""
        packed = self.batches(operation)
        batches = iter(packed) if self._single_use.get(operation) else cycle(packed)
        cpu, started = time.process_time(), time.perf_counter()
        done = self._drive(batches, started + seconds)
        return {"calls": done, "seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}

    def _drive(self, batches: Any, end: float) -> int:
        done, in_flight = 0, dict.fromkeys(range(CONNECTIONS), 0)
        with selectors.DefaultSelector() as selector:
            for index, connection in enumerate(self._sockets):
                selector.register(connection, selectors.EVENT_READ, index)
                in_flight[index] = self._send(index, next(batches, b""))
            while any(in_flight.values()):
                for key, _ in selector.select():
                    received = self._receive(key.data)
                    done += received
                    in_flight[key.data] -= received
                    if not in_flight[key.data] and time.perf_counter() < end:
                        in_flight[key.data] = self._send(key.data, next(batches, b""))
        return done

    def _send(self, index: int, batch: bytes) -> int:
        if batch:
            self._sockets[index].sendall(batch)
        return DEPTH if batch else 0

    def _receive(self, index: int) -> int:
        reader, received = self._readers[index], 0
        reader.feed(self._sockets[index].recv(1 << 17))
        while (reply := reader.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise RuntimeError(f"the server replied {reply}")
            received += 1
        return received


async def _start(raw: Raw) -> None:
    await raw.start()
    # Operations that consume sessions would run for less time than it takes to create the sessions.
    write_line({"operations": [name for name in raw.operations if name not in CONSUMING], "version": ""})


def _serve() -> None:
    raw = Raw(json.loads(sys.argv[1]))
    asyncio.run(_start(raw))
    for line in sys.stdin:
        request = json.loads(line)
        write_line({**raw.measure(request["operation"], request["seconds"]), "p50": 0, "p99": 0, "p999": 0})


if __name__ == "__main__":
    _serve()
