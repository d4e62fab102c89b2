"""A DNS name that moves from a demoted primary to its successor. A demotion closes no connections; clients must."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.exceptions import SessionUnavailableError
from tests.conftest import bundled
from tests.harness.farms import Proxy, cluster_farm, wait_for
from tests.harness.servers import Server, running
from tests.redis.tools import backend_on, connections_so_far, manager_on, until

READERS_LATEST = 2.0
WRITERS_LATEST = 3.0
KNOWN = 0.3
"""Seconds after which a client knows that its server is a primary."""


@dataclass
class Name:
    """Two servers and a DNS name, which a proxy emulates.

    Attributes:
        old: the primary.
        new: its replica.
        proxy: forwards new connections to the server that the name resolves to.

    """

    old: Server
    new: Server
    proxy: Proxy

    @property
    def url(self) -> str:
        """The URL with the name."""
        return f"redis://127.0.0.1:{self.proxy.port}"

    def promote(self) -> None:
        """Promote the replica."""
        with self.new.client() as client:
            client.replicaof("NO", "ONE")

    def demote(self) -> None:
        """Make the old primary a replica without a primary. Its clients stay connected."""
        with self.old.client() as client:
            client.replicaof("127.0.0.1", 1)

    def move(self) -> None:
        """Let new connections reach the new primary. Open connections stay."""
        self.proxy.upstream_port = self.new.port

    def fail_over(self) -> None:
        """Promote the replica, demote the old primary, and move the name."""
        self.promote()
        self.demote()
        self.move()


@contextmanager
def one_name(binary: Any) -> Iterator[Name]:
    immediate = ("--repl-diskless-sync-delay", "0")
    with running(binary, *immediate) as old, running(binary) as new, Proxy(old.port) as proxy:
        with new.client() as client:
            client.replicaof("127.0.0.1", old.port)
            wait_for(lambda: client.info("replication")["master_link_status"] == "up", "a replica")
        yield Name(old, new, proxy)


@pytest.fixture
def name() -> Iterator[Name]:
    with one_name(bundled()) as name:
        yield name


async def revoke(server: Server, session_id: str) -> None:
    async with backend_on(server.url) as backend:
        assert await manager_on(backend).delete_session(session_id)


READERS = {
    # A validation may have to record the access, which a replica refuses; a read never writes.
    "validate": lambda manager, session_id: manager.validate_session(session_id),
    "read": lambda manager, session_id: manager.get_session_metadata(session_id),
}


async def seconds_until_revoked(read: Any, manager: SessionManager, session_id: str) -> float:
    """Return the seconds until a reader no longer finds a revoked session."""
    begun = time.monotonic()
    while await read(manager, session_id):
        assert time.monotonic() - begun < 10
        await asyncio.sleep(0.005)
    return time.monotonic() - begun


def demotions(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and first two words of each log line about demotions."""
    logged = [(one.levelname, " ".join(one.getMessage().split()[:2]).rstrip(":")) for one in caplog.records]
    return [line for line in logged if line[1].startswith("primary")]


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
async def test_readers_leave_a_demoted_primary(name: Name, read: Any, caplog: Any):
    caplog.set_level(logging.DEBUG, "chuk_sessions")
    async with backend_on(name.url) as backend:
        manager = manager_on(backend)
        revoked, kept = await manager.allocate_session(), await manager.allocate_session()
        await asyncio.sleep(KNOWN)
        await asyncio.to_thread(wait_for, lambda: _has_keys(name.new), "the sessions on the replica")
        name.fail_over()
        await revoke(name.new, revoked)
        assert await seconds_until_revoked(read, manager, revoked) < READERS_LATEST
        assert await manager.validate_session(kept)
        assert backend.stats().reconnects > 0
    assert demotions(caplog) == [("WARNING", "primary demoted"), ("INFO", "primary found")]


def _has_keys(server: Server) -> bool:
    with server.client() as client:
        return int(client.dbsize()) >= 2


async def test_writers_leave_a_demoted_primary(name: Name):
    async with backend_on(name.url) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        await asyncio.sleep(KNOWN)
        name.fail_over()
        begun = time.monotonic()
        assert await manager.update_session_metadata(session_id, {"n": 1})
        assert time.monotonic() - begun < WRITERS_LATEST
        assert await manager.get_session_metadata(session_id)


async def test_calls_wait_for_a_name_that_moves_later(name: Name):
    async with backend_on(name.url) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        await asyncio.sleep(KNOWN)
        name.promote()
        name.demote()
        updates = [asyncio.create_task(manager.update_session_metadata(session_id, {str(n): n})) for n in range(50)]
        await asyncio.sleep(1.0)
        read = asyncio.create_task(manager.validate_session(session_id))
        await asyncio.sleep(0.5)
        assert not read.done(), "the data of the demoted server may be stale"
        name.move()
        moved = time.monotonic()
        assert all(await asyncio.gather(*updates))
        assert await read
        assert time.monotonic() - moved < 1.0


async def test_a_client_without_the_right_to_role_leaves_when_a_write_is_refused(name: Name, caplog: Any):
    caplog.set_level(logging.DEBUG, "chuk_sessions")
    for server in (name.old, name.new):
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-role")
    async with backend_on(name.url.replace("redis://", "redis://app:secret@")) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        await asyncio.sleep(1.5)
        assert await manager.validate_session(session_id)
        name.fail_over()
        assert await manager.update_session_metadata(session_id, {"n": 1})
    assert len([one for one in caplog.records if "ROLE" in one.getMessage()]) == 1
    with name.old.client() as client:
        assert sum(int(one["count"]) for one in client.acl_log()) == 1


async def test_a_primary_that_is_promoted_again_is_used_again(server: Server, caplog: Any):
    caplog.set_level(logging.DEBUG, "chuk_sessions")
    async with backend_on(server.url) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        await asyncio.sleep(KNOWN)
        with server.client() as client:
            client.replicaof("127.0.0.1", 1)
            update = asyncio.create_task(manager.update_session_metadata(session_id, {"n": 1}))
            await asyncio.sleep(0.5)
            client.replicaof("NO", "ONE")
        assert await update
    assert demotions(caplog) == [("WARNING", "primary demoted"), ("INFO", "primary found")]


@pytest.mark.quiet
async def test_calls_fail_at_once_long_after_a_demotion(server: Server):
    async with backend_on(server.url, call_timeout=0.5) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        await asyncio.sleep(KNOWN)
        with server.client() as client:
            client.replicaof("127.0.0.1", 1)
        try:
            for _ in range(2):
                with pytest.raises(SessionUnavailableError, match="replica"):
                    await manager.update_session_metadata(session_id, {"n": 1})
            begun = time.monotonic()
            with pytest.raises(SessionUnavailableError, match="replica"):
                await manager.validate_session(session_id)
            assert time.monotonic() - begun < 0.1
        finally:
            with server.client() as client:
                client.replicaof("NO", "ONE")
        await until(lambda: backend.stats().connections == 1)
        assert await manager.validate_session(session_id)


async def test_a_url_of_a_replica_serves_reads_and_refuses_writes_without_a_storm_of_connections(name: Name):
    async with backend_on(name.old.url) as primary:
        session_id = await manager_on(primary).allocate_session()
    async with backend_on(name.new.url) as backend:
        manager = manager_on(backend)
        await asyncio.to_thread(wait_for, lambda: _has_keys(name.new), "the session on the replica")
        before = connections_so_far(name.new)
        writes = [asyncio.create_task(manager.update_session_metadata(session_id, {"n": 1})) for _ in range(100)]
        begun, reads = time.monotonic(), 0
        while not all(write.done() for write in writes):
            assert await manager.get_session_metadata(session_id)
            reads += 1
            await asyncio.sleep(0.01)
        seconds = time.monotonic() - begun
        for write in writes:
            with pytest.raises(SessionUnavailableError, match="replica"):
                await write
        assert reads > 10
        assert connections_so_far(name.new) - before < 3 + 5 * seconds


async def test_clients_leave_a_demoted_node_of_a_cluster():
    with cluster_farm(bundled(), primaries=1) as farm:
        old, new = farm.members
        async with backend_on(f"redis://127.0.0.1:{old.port}") as backend:
            manager = manager_on(backend)
            session_id = await manager.allocate_session()
            await asyncio.sleep(KNOWN)
            new.command("CLUSTER", "FAILOVER")
            await asyncio.to_thread(wait_for, lambda: new.info("replication")["role"] == "master", "a failover")
            await asyncio.sleep(READERS_LATEST)
            begun = time.monotonic()
            assert await manager.update_session_metadata(session_id, {"n": 1})
            assert await manager.validate_session(session_id)
            assert time.monotonic() - begun < 1.0


async def test_an_idle_client_polls_the_role_once_a_second(own_server: Server):
    async with backend_on(own_server.url) as backend:
        await manager_on(backend).allocate_session()
        with own_server.client() as client:
            client.config_resetstat()
            begun = time.monotonic()
            await asyncio.sleep(3.0)
            polls = client.info("commandstats")["cmdstat_role"]["calls"]
            assert 2 <= polls <= time.monotonic() - begun + 1
            assert client.info("stats")["total_connections_received"] <= 1
