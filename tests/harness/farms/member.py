"""A server of a farm. Clients reach it at its own port, or at the port of a proxy with TLS."""

from __future__ import annotations

import shutil
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

from tests.harness.ports import free_port
from tests.harness.servers import Server, start

from .certificates import Certificates
from .proxy import Proxy

PATIENCE = 30.0


@dataclass
class Member:
    """A server of a farm.

    Attributes:
        server: the process.
        port: where clients reach it.
        proxy: the proxy that listens there; None if the server does.

    """

    server: Server
    port: int
    proxy: Proxy | None = field(default=None, repr=False)

    @cached_property
    def client(self) -> redis.Redis:
        """A synchronous client that bypasses the proxy, with which tests inspect the server. It does not retry."""
        return redis.Redis.from_url(self.server.url, retry=Retry(NoBackoff(), 0))

    def command(self, *words: Any) -> Any:
        """Run one command.

        Raises:
            redis.RedisError: the server refuses the command, or cannot be reached.

        """
        return self.client.execute_command(*words)

    def info(self, section: str) -> dict[str, Any]:
        """Return that section of INFO."""
        return dict(self.client.info(section))

    def discard(self) -> None:
        """Stop the server and remove its folder."""
        self.client.close()
        self.server.stop()
        assert self.server.folder is not None
        shutil.rmtree(self.server.folder, ignore_errors=True)


def add(
    stack: ExitStack,
    binary: str | Path,
    *options: str,
    password: str = "",
    certificates: Certificates | None = None,
    announce: str = "",
) -> Member:
    """Start a server, and stop it with the stack. `announce` is the option that sets the port announced to others."""
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
    """Poll until the condition holds; an error of the server counts as False. Return the seconds that it took.

    Raises:
        TimeoutError: it does not hold in time. The message says `what` is missing.

    """
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        try:
            if condition():
                return time.monotonic() - begun
        except redis.RedisError:
            pass
        time.sleep(0.01)
    raise TimeoutError(f"not in {seconds:g} s: {what}")
