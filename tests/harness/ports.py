"""Free ports for servers, handed out to all processes that run tests in this checkout."""

from __future__ import annotations

import fcntl
import random
import socket
from pathlib import Path

BUS = 10_000
"""The offset of a node's cluster bus port from its port."""

_FIRST, _NUMBER = 11_000, 10_000
"""Ports outside the range that the system uses for outgoing connections. So they stay free while a server is down."""

_FILE = Path(__file__).parents[2] / ".venv" / "tests.port"
"""Has the last port that was handed out."""


def free_port() -> int:
    """Return a loopback port that is free, as is its cluster bus port.

    Ports are handed out in turn: no other test gets that of a server that is down for a while, or one that nothing is
    supposed to listen on.
    """
    _FILE.parent.mkdir(exist_ok=True)
    with _FILE.open("a+") as file:
        fcntl.lockf(file.fileno(), fcntl.LOCK_EX)
        file.seek(0)
        port = int(file.read() or random.randrange(_FIRST, _FIRST + _NUMBER))
        while True:
            port = _FIRST + (port + 1 - _FIRST) % _NUMBER
            if _is_free(port) and _is_free(port + BUS):
                break
        file.truncate(0)
        file.write(str(port))
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
