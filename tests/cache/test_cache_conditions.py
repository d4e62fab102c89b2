"""Servers, deployments, clocks, and processes: where the cache works, where it is off, and what ends its entries."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from datetime import UTC, datetime

import pytest

from chuk_sessions import LocalCache
from tests.cache.tools import (
    STALENESS,
    cached_at,
    delete_elsewhere,
    fill,
    new_session,
    reads_of,
    record_of,
    stats,
    until_gone,
    until_tracking,
)
from tests.conftest import bundled
from tests.harness import children
from tests.harness.farms import Proxy, cluster_farm, sentinel_farm, wait_for
from tests.harness.servers import running
from tests.redis.tools import slot_of_session, until


async def test_resp2_never_caches(server):
    """A server replies OK to CLIENT TRACKING on a connection with RESP2, and then reports nothing."""
    async with cached_at(f"{server.url}?protocol=2") as manager:
        session_id = await manager.allocate_session()
        await until(lambda: stats(manager)["why_off"])
        for _ in range(20):
            assert await manager.get_session_metadata(session_id)
            assert await manager.validate_session(session_id)
            await asyncio.sleep(0.001)
        found = stats(manager)
        assert "RESP2" in found["why_off"]
        assert (found["tracking"], found["cached_sessions"], found["hits"]) == (False, 0, 0)


async def test_a_user_without_the_right_to_track_has_no_cache(server):
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "nt", "reset", "on", ">nt", "~*", "+@all", "-client|tracking")
    async with cached_at(server.url.replace("redis://", "redis://nt:nt@")) as manager:
        session_id = await manager.allocate_session()
        assert await manager.get_session_metadata(session_id)
        await until(lambda: "CLIENT TRACKING" in stats(manager)["why_off"])
        assert await manager.validate_session(session_id)


async def test_junk_ids_are_not_tracked(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager)
        with server.client() as client:
            before = client.info("stats")["tracking_total_keys"]
            for number in range(200):
                assert not await manager.validate_session(f"junk-{number}")
                assert await manager.load_session(f"junk-{number % 20}") is None
                assert await manager.get_session_metadata(f"junk-{number % 20}") is None
            assert client.info("stats")["tracking_total_keys"] <= before
        assert stats(manager)["cached_sessions"] == 1
        assert manager.cached_session(session_id)


async def test_an_old_id_in_its_grace_period_is_not_cached(server):
    async with cached_at(server.url) as manager:
        old = await new_session(manager)
        new = await manager.rotate_session(old, grace_seconds=60)
        for _ in range(3):
            assert (await manager.get_session_metadata(old)).session_id == old
            assert await manager.validate_session(old)
            await asyncio.sleep(0.002)
        assert manager.cached_session(old) is None
        await fill(manager, new)


async def test_slot_migration_flushes(farms):
    farm = farms["cluster"]
    farm.empty()
    async with cached_at(farm.url) as manager:
        session_id = await new_session(manager)
        slot = slot_of_session(session_id)
        target = next(owner for owner in farm.owners() if owner is not farm.owner(slot))
        await asyncio.to_thread(farm.move, slot, target)
        await until_gone(manager, session_id)
        await fill(manager, session_id)
        target.command("DEL", record_of(session_id))
        await until_gone(manager, session_id)
        assert not await manager.validate_session(session_id)


async def test_all_nodes_of_a_cluster_report_changes(farms):
    farm = farms["cluster"]
    farm.empty()
    async with cached_at(farm.url) as manager:
        sessions = [await manager.allocate_session() for _ in range(30)]
        await fill(manager, *sessions)
        for session_id in sessions:
            farm.owner(slot_of_session(session_id)).command("DEL", record_of(session_id))
        await until(lambda: stats(manager)["cached_sessions"] == 0)


async def test_failover_flushes_with_sentinel():
    """The old primary is suspended, so it neither reports the revocation on its successor nor drops the connection."""
    with sentinel_farm(bundled(), down_after_ms=300) as farm:
        cache = LocalCache(max_staleness_seconds=STALENESS)
        async with cached_at(farm.url, cache, call_timeout=15.0) as manager:
            session_id = await new_session(manager)
            await asyncio.to_thread(_wait_for_replicas, farm, record_of(session_id))
            old = await asyncio.to_thread(farm.primary)
            old.server.signal(signal.SIGSTOP)
            try:
                await until_gone(manager, session_id, 2 * STALENESS + 1)
                found = asyncio.create_task(manager.validate_session(session_id))
                assert await found
                new = await asyncio.to_thread(farm.primary)
                assert new is not old
                await fill(manager, session_id)
                await asyncio.to_thread(new.command, "DEL", record_of(session_id))
                await until_gone(manager, session_id)
            finally:
                old.server.signal(signal.SIGCONT)


def _wait_for_replicas(farm, key):
    for member in farm.members:
        wait_for(lambda member=member: member.command("EXISTS", key) == 1, "a session on all replicas")


async def test_failover_flushes_in_a_cluster():
    """CLUSTER FAILOVER leaves the old primary alive, with its connections, as a replica."""
    with cluster_farm(bundled(), primaries=1) as farm:
        async with cached_at(farm.url, LocalCache(max_staleness_seconds=STALENESS)) as manager:
            session_id = await new_session(manager)
            replica = farm.members[1]
            await asyncio.to_thread(wait_for, lambda: replica.info("replication")["master_link_status"] == "up", "sync")
            replica.command("CLUSTER", "FAILOVER")
            await asyncio.to_thread(wait_for, lambda: replica.info("replication")["role"] == "master", "a failover")
            await asyncio.to_thread(replica.command, "DEL", record_of(session_id))
            revoked = time.monotonic()
            last = revoked
            while time.monotonic() < revoked + 2 * STALENESS:
                asked = time.monotonic()
                if manager.cached_session(session_id) is not None:
                    last = asked
                await asyncio.sleep(0.001)
            assert last - revoked <= STALENESS
            assert not await manager.validate_session(session_id)


def ms_of(text):
    return datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000


async def test_deadline_by_server_clock(server):
    async with cached_at(server.url) as manager:
        session_id = await manager.allocate_session(ttl_hours=0.5 / 3600)
        await fill(manager, session_id)
        deadline = ms_of(manager.cached_session(session_id).expires_at)
        last = asked = time.time() * 1000
        while await manager.validate_session(session_id):
            last, asked = asked, time.time() * 1000
        assert manager.cached_session(session_id) is None
        assert last <= deadline + 5
        assert time.time() * 1000 >= deadline
        assert await manager.get_session_metadata(session_id) is None


async def test_the_clock_of_this_host_does_not_matter(world):
    """The server's clock is years apart from that of this host."""
    manager = world.manager(local_cache=LocalCache(), touch_interval_seconds=60)
    session_id = await manager.allocate_session()
    await fill(manager, session_id)
    assert await manager.validate_session(session_id)
    await manager.aclose()


async def test_touch_once_per_interval(server):
    async with cached_at(server.url, touch_interval_seconds=0.2) as manager:
        session_id = await new_session(manager)
        first = (await manager.get_session_metadata(session_id)).last_accessed
        before, began, seen = reads_of(server), time.monotonic(), set()
        while time.monotonic() < began + 0.9:
            assert await manager.validate_session(session_id)
            seen.add((await manager.load_session(session_id)).last_accessed)
        # Each touch is one call, followed by one tracked read.
        assert 3 <= len(seen - {first}) <= 5
        assert reads_of(server) - before <= 2 * 5 + 2


async def test_without_a_touch_interval_each_validation_reaches_the_server(server):
    async with cached_at(server.url, touch_interval_seconds=0) as manager:
        session_id = await new_session(manager)
        before = reads_of(server)
        for _ in range(10):
            assert await manager.validate_session(session_id)
        assert reads_of(server) >= before + 10
        await fill(manager, session_id)


async def test_an_idle_session_is_touched_in_time(server):
    async with cached_at(server.url, touch_interval_seconds=0.9) as manager:
        idle = manager.__class__("test", manager.session_factory, idle_timeout_seconds=1)
        session_id = await idle.allocate_session()
        await fill(manager, session_id)
        end = time.monotonic() + 2.2
        while time.monotonic() < end:
            assert await manager.validate_session(session_id)
            await asyncio.sleep(0.01)
        await idle.aclose()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_fork_and_threads(server):
    """A child has no entries of its parent. A write in one thread is seen at once in all others."""
    done = children.python(FORK_AND_THREADS, server.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["ok"] * 3


FORK_AND_THREADS = """
import os, sys, threading, time, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from chuk_sessions import LocalCache
from chuk_sessions.providers import redis
from chuk_sessions.sync import SessionManager

cache = LocalCache(max_staleness_seconds=5)
manager = SessionManager("test", redis.factory(sys.argv[1]), touch_interval_seconds=60, local_cache=cache)
session_id = manager.allocate_session(custom_metadata={"n": 0})

def fill():
    while manager.cached_session(session_id) is None:
        assert manager.get_session_metadata(session_id)
        time.sleep(0.001)

fill()
child = os.fork()
if child == 0:
    code = 1
    try:
        assert manager.cached_session(session_id) is None
        assert manager.update_session_metadata(session_id, {"n": 1})
        assert manager.get_session_metadata(session_id).custom_metadata["n"] == 1
        fill()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("ok")
while manager.get_session_metadata(session_id).custom_metadata["n"] != 1:
    time.sleep(0.001)
fill()
print("ok")
failures = []

def work(number):
    for turn in range(100):
        written = manager.increment_session_counter(session_id, "n").value
        if manager.get_session_metadata(session_id).custom_metadata["n"] < written:
            failures.append((number, turn))

threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failures, failures
assert manager.get_session_metadata(session_id).custom_metadata["n"] == 401
print("ok")
"""


def test_event_loops_in_threads_see_each_others_writes(server):
    """Each loop has a connection and entries of its own. The loops take turns, so that a stale entry would show."""
    cache, failures = LocalCache(max_staleness_seconds=5), []
    turns = [threading.Semaphore(1), threading.Semaphore(0)]

    async def work(number):
        async with cached_at(server.url, cache) as manager:
            for turn in range(60):
                await asyncio.to_thread(turns[number].acquire)
                await manager.allocate_session("shared", custom_metadata={"n": 0})
                await fill(manager, "shared")
                expected = 2 * turn + number
                session = await manager.get_session_metadata("shared")
                if session.custom_metadata["n"] != expected:
                    failures.append((number, turn, session.custom_metadata["n"]))
                await manager.increment_session_counter("shared", "n")
                turns[1 - number].release()

    threads = [threading.Thread(target=asyncio.run, args=(work(number),)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


def test_the_last_loop_of_a_process_leaves_nothing_open(server):
    code = """
import asyncio, sys
from chuk_sessions import LocalCache, SessionManager
from chuk_sessions.providers import redis
async def main():
    manager = SessionManager("test", redis.factory(sys.argv[1]), touch_interval_seconds=60, local_cache=LocalCache())
    session_id = await manager.allocate_session()
    while manager.cached_session(session_id) is None:
        await manager.get_session_metadata(session_id)
        await asyncio.sleep(0)
    return manager
manager = asyncio.run(main())
asyncio.run(main())
print("done")
"""
    done = children.python(code, server.url, PYTHONWARNINGS="error")
    assert (done.stdout, done.stderr) == ("done\n", "")


async def test_tls(server, certificates):
    with Proxy(server.port, tls=certificates.context) as proxy:
        url = f"rediss://localhost:{proxy.port}?ssl_ca_certs={certificates.authority}"
        async with cached_at(url) as manager:
            session_id = await new_session(manager)
            assert await manager.validate_session(session_id)
            delete_elsewhere(server, session_id)
            await until_gone(manager, session_id)
            assert not await manager.validate_session(session_id)


async def test_maxmemory_eviction():
    with running(bundled()) as own_server:
        async with cached_at(own_server.url) as manager:
            session_id = await new_session(manager)
            with own_server.client() as client:
                client.config_set("maxmemory-policy", "allkeys-random")
                client.config_set("maxmemory", 1)
                with pytest.raises(Exception, match="maxmemory"):
                    client.set("x", "y")
                client.config_set("maxmemory", 0)
            await until_gone(manager, session_id)
            assert not await manager.validate_session(session_id)


async def test_a_proxy_that_loses_reports_is_detected(server, monkeypatch):
    monkeypatch.setattr("chuk_sessions.backends.redis.tracking._TRACKING_ON", b"*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n")
    async with cached_at(server.url, call_timeout=1.0) as manager:
        session_id = await manager.allocate_session()
        assert await manager.get_session_metadata(session_id)
        await until(lambda: "reports of changes do not arrive" in stats(manager)["why_off"])
        assert manager.cached_session(session_id) is None


async def test_a_server_that_comes_back_is_used_again():
    with running(bundled(), "--appendonly", "yes", "--appendfsync", "always") as own_server:
        async with cached_at(own_server.url, LocalCache(max_staleness_seconds=STALENESS)) as manager:
            session_id = await new_session(manager)
            own_server.kill()
            await until_gone(manager, session_id)
            own_server.restart()
            assert await manager.validate_session(session_id)
            await until_tracking(manager, session_id)
            await fill(manager, session_id)


async def test_a_long_lease_does_not_end_early(server):
    """Heartbeats are frequent enough that a server that replies to them never seems to be silent."""
    async with cached_at(server.url, LocalCache(max_staleness_seconds=60), call_timeout=0.6) as manager:
        session_id = await new_session(manager)
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert manager.cached_session(session_id) is not None
            await asyncio.sleep(0.02)
        assert stats(manager)["flushes"] == 0
