"""One server of a farm, and where clients reach it: at its own port, or at that of a proxy with TLS."""

from __future__ import annotations

import random
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.harness.servers import Server, start

from .certificates import Certificates
from .proxy import Proxy

BUS = 10_000
"""How far a node's cluster bus lies above its port."""

PATIENCE = 30.0


@dataclass
class Member:
    """A server of a farm.

    Attributes:
        server: the process.
        port: where clients reach it.
        proxy: what listens there, if that is not the server itself.

    """

    server: Server
    port: int
    proxy: Proxy | None = field(default=None, repr=False)

    @cached_property
    def client(self) -> redis.Redis:
        """A synchronous client for a test's own looking around, past the proxy. It does not try again."""
        return redis.Redis.from_url(self.server.url, retry=Retry(NoBackoff(), 0))

    def command(self, *words: Any) -> Any:
        """Run one command. Raises redis.RedisError."""
        return self.client.execute_command(*words)

    def info(self, section: str) -> dict[str, Any]:
        """That section of INFO."""
        return dict(self.client.info(section))

    def discard(self) -> None:
        """Stop the server and remove its folder."""
        self.client.close()
        self.server.stop()
        assert self.server.folder is not None
        shutil.rmtree(self.server.folder, ignore_errors=True)


def free_port() -> int:
    """A loopback port that is free, as is its cluster bus, and that the system gives to no outgoing connection: so it
    stays free while a server is down.
    """
    while True:
        port = random.randrange(11_000, 21_000)
        if _is_free(port) and _is_free(port + BUS):
            return port


def add(
    stack: ExitStack,
    binary: str | Path,
    *options: str,
    password: str = "",
    certificates: Certificates | None = None,
    announce: str = "",
) -> Member:
    """Start a server that is stopped with the stack. `announce` is the option by which it says its port to others."""
    port = free_port()
    proxy = None
    if certificates is not None:
        proxy = stack.enter_context(Proxy(port, tls=certificates.context, plain_too=True))
        options = (*options, announce, str(proxy.port))
    server = start(binary, *options, password=password, port=port)
    member = Member(server, proxy.port if proxy else port, proxy)
    stack.callback(member.discard)
    return member


def wait_for(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> float:
    """Poll until it holds; an error of the server's counts as no. Returns the seconds that it took."""
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        try:
            if condition():
                return time.monotonic() - begun
        except redis.RedisError:
            pass
        time.sleep(0.01)
    raise TimeoutError(f"not in {seconds:g} s: {what}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
