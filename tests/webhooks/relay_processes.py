"""Relays as processes, for tests that kill them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.children import Child, running
from tests.harness.servers import Server

RELAY = (sys.executable, "-m", "chuk_sessions.events", "relay")
QUICK = ("--timeout", "2", "--lease", "2")


@contextmanager
def relay(server: Server, *options: str) -> Iterator[Child]:
    """Run a relay, and return when it works."""
    with running(*RELAY, "--url", server.url, *QUICK, *options) as child:
        child.wait_for("the relay is running")
        yield child
