"""Fixtures for the tests of connections and topologies."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import bundled
from tests.harness.farms import wait_for
from tests.harness.servers import Server, running
from tests.redis.tools import load_scripts


@pytest.fixture
def own_server() -> Iterator[Server]:
    """Run a server for one test, which may damage it. It writes each change to its disk before it replies."""
    with running(bundled(), "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture
def replicated() -> Iterator[tuple[Server, Server]]:
    """Run a primary and its replica. The primary knows all scripts."""
    with ExitStack() as stack:
        primary = stack.enter_context(running(bundled(), "--repl-diskless-sync-delay", "0"))
        replica = stack.enter_context(running(bundled(), "--replicaof", "127.0.0.1", str(primary.port)))
        client = stack.enter_context(replica.client())
        wait_for(lambda: client.info("replication")["master_link_status"] == "up", "a replica in sync")
        load_scripts(primary)
        yield primary, replica


@pytest.fixture
def tls_contexts(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """Record the TLS contexts that are created."""
    created: list[ssl.SSLContext] = []
    create = ssl.create_default_context

    def recorded() -> ssl.SSLContext:
        created.append(create())
        return created[-1]

    monkeypatch.setattr(ssl, "create_default_context", recorded)
    return created
