"""Replies, reports of changes, and own writes in every order: no entry may hold an older state than the server."""

from __future__ import annotations

import asyncio
import time

import pytest

from chuk_sessions import LocalCache
from chuk_sessions.core import keys, operations
from tests.cache.tools import (
    STALENESS,
    cached_at,
    change_elsewhere,
    delete_elsewhere,
    fill,
    new_session,
    reads_of,
    record_of,
    start_read,
    stats,
    until_gone,
    view_of,
)
from tests.harness.farms import Proxy
from tests.redis.tools import EVENT_LOOPS, until


async def value_of(manager, session_id):
    session = await manager.get_session_metadata(session_id)
    return None if session is None else session.custom_metadata["n"]


async def test_reply_overtaken_by_invalidation(server):
    """The reply and the report of a later write arrive together: the caller gets the reply, and nothing is kept."""
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager, custom_metadata={"n": 0})
        view_of(manager).kill(record_of(session_id))
        read = await start_read(manager, session_id, server)
        change_elsewhere(server, session_id, 1)
        # The server may answer the writer before it sends the report, but sends both before it runs another command.
        reads_of(server)
        assert (await read).custom_metadata["n"] == 0
        assert manager.cached_session(session_id) is None
        assert await value_of(manager, session_id) == 1


async def test_a_report_from_before_a_pending_read_does_not_kill_it(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager, custom_metadata={"n": 0})
        view_of(manager).kill(record_of(session_id))
        change_elsewhere(server, session_id, 1)
        assert await value_of(manager, session_id) == 1
        assert manager.cached_session(session_id).custom_metadata["n"] == 1


async def test_replacing_an_entry_kills_it(server):
    """The first of two reads was run before a write, and its reply must not be kept when it arrives."""
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager, custom_metadata={"n": 0})
        view = view_of(manager)
        view.kill(record_of(session_id))
        first = await start_read(manager, session_id, server)
        entry = view.entry_of(record_of(session_id))
        change_elsewhere(server, session_id, 1)
        source = entry.source
        replacement = view._send(source, session_id, keys.session_keys("test", session_id))
        assert view.entry_of(record_of(session_id)) is replacement
        assert (await first).custom_metadata["n"] == 0
        await until(lambda: replacement.waiters is None)
        assert entry.until == float("-inf")
        assert manager.cached_session(session_id).custom_metadata["n"] == 1


async def test_own_write_kills_pending_reads(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager, custom_metadata={"n": 0})
        for number in range(1, 100):
            view_of(manager).kill(record_of(session_id))
            read = asyncio.create_task(manager.get_session_metadata(session_id))
            write = asyncio.create_task(manager.update_session_metadata(session_id, {"n": number}))
            await write
            assert await value_of(manager, session_id) == number
            assert (await read).custom_metadata["n"] in (number - 1, number)
            assert await value_of(manager, session_id) == number


@pytest.mark.parametrize("write", ["update", "delete", "extend", "revoke", "canceled"])
async def test_own_writes_are_seen_at_once(server, write):
    async with cached_at(server.url) as manager, cached_at(server.url) as other:
        session_id = await new_session(manager, user_id="ann", custom_metadata={"n": 0})
        await fill(other, session_id)
        if write == "update":
            await other.update_session_metadata(session_id, {"n": 1})
        elif write == "delete":
            await other.delete_session(session_id)
        elif write == "extend":
            await other.extend_session_ttl(session_id, 1)
        elif write == "revoke":
            await other.revoke_user_sessions("ann")
        else:
            task = asyncio.create_task(other.update_session_metadata(session_id, {"n": 1}))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert manager.cached_session(session_id) is other.cached_session(session_id) is None


async def test_writes_of_other_processes_arrive(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager, custom_metadata={"n": 0})
        for number in range(1, 20):
            change_elsewhere(server, session_id, number)
            await until_gone(manager, session_id)
            assert await value_of(manager, session_id) == number
            await fill(manager, session_id)
        assert stats(manager)["invalidations"] == 19


async def test_lease_black_hole(server):
    """Behind a black hole, no session is alive in the cache for longer than the lease after its revocation."""
    with Proxy(server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        async with cached_at(url, LocalCache(max_staleness_seconds=STALENESS), call_timeout=1.0) as manager:
            session_id = await new_session(manager)
            proxy.frozen = True
            delete_elsewhere(server, session_id)
            revoked = time.monotonic()
            last = None
            while time.monotonic() < revoked + 3 * STALENESS:
                asked = time.monotonic()
                if manager.cached_session(session_id) is not None:
                    last = asked
                await asyncio.sleep(0.001)
            proxy.frozen = False
            assert last is None or last - revoked <= STALENESS
            assert not await manager.validate_session(session_id)


@EVENT_LOOPS
def test_blocked_loop_reads_pushes_first(server, run):
    """A task that continues after the event loop was blocked sees what happened meanwhile."""

    async def blocked():
        async with cached_at(server.url) as manager:
            for _ in range(10):
                session_id = await new_session(manager, custom_metadata={"n": 0})
                assert await manager.validate_session(session_id)
                delete_elsewhere(server, session_id)
                time.sleep(0.003)  # noqa: ASYNC251  (this blocks the loop, and lets the report arrive)
                assert not await manager.validate_session(session_id)
                assert await manager.load_session(session_id) is None

    run(blocked())


@EVENT_LOOPS
def test_a_task_that_only_hits_sees_changes_soon(server, run):
    async def hot():
        async with cached_at(server.url, LocalCache(max_staleness_seconds=60)) as manager:
            session_id = await new_session(manager)
            gone = asyncio.create_task(asyncio.to_thread(delete_elsewhere, server, session_id))
            give_up = time.monotonic() + 10
            while await manager.validate_session(session_id):
                assert time.monotonic() < give_up
            await gone

    run(hot())


@pytest.mark.quiet
async def test_no_reader_starves_while_others_hit_the_cache(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager)
        counts = [0] * 20
        end = time.monotonic() + 0.3

        async def read(number):
            while time.monotonic() < end:
                await manager.validate_session(session_id)
                counts[number] += 1

        await asyncio.gather(*map(read, range(20)))
        assert min(counts) > 5, counts


async def test_a_canceled_reader_does_not_disturb_the_others(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager, custom_metadata={"n": 7})
        view_of(manager).kill(record_of(session_id))
        readers = [asyncio.create_task(value_of(manager, session_id)) for _ in range(10)]
        await asyncio.sleep(0)
        readers[0].cancel()
        readers[5].cancel()
        values = await asyncio.gather(*readers, return_exceptions=True)
        assert [value for value in values if value == 7] == [7] * 8
        assert stats(manager)["joined"] >= 9
        for _ in range(3):
            waiting = [asyncio.create_task(manager.validate_session(session_id)) for _ in range(5)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            assert (await asyncio.gather(*waiting, return_exceptions=True))[1:] == [True] * 4
            await asyncio.sleep(0.002)


async def test_concurrent_readers_share_one_read(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager, custom_metadata={"n": 7})
        view_of(manager).kill(record_of(session_id))
        before = reads_of(server)
        assert await asyncio.gather(*(value_of(manager, session_id) for _ in range(50))) == [7] * 50
        assert reads_of(server) == before + 1


async def test_a_fresh_read_is_never_followed_by_an_older_one(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager, custom_metadata={"n": 0})
        for number in range(1, 50):
            change_elsewhere(server, session_id, number)
            fresh = await manager.get_session_metadata(session_id, fresh=True)
            assert fresh.custom_metadata["n"] == number
            assert await value_of(manager, session_id) == number


async def test_a_lost_script_is_loaded_again(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager, custom_metadata={"n": 3})
        view_of(manager).kill(record_of(session_id))
        with server.client() as client:
            client.script_flush()
        assert await value_of(manager, session_id) == 3
        await fill(manager, session_id)


async def test_a_lost_connection_flushes(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager)
        with server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.delete(record_of(session_id))
        await until(lambda: stats(manager)["flushes"])
        assert not await manager.validate_session(session_id)
        assert manager.cached_session(session_id) is None
        await new_session(manager)


async def test_flushall_and_a_full_tracking_table(server):
    async with cached_at(server.url) as manager:
        sessions = [await new_session(manager) for _ in range(5)]
        with server.client() as client:
            client.config_set("tracking-table-max-keys", 1)
            try:
                await until(lambda: stats(manager)["cached_sessions"] <= 1)
            finally:
                client.config_set("tracking-table-max-keys", 1_000_000)
            await fill(manager, *sessions)
            client.flushall()
        await until(lambda: stats(manager)["cached_sessions"] == 0)


async def test_own_accesses_within_the_touch_interval_do_not_drop_sessions(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager)
        target = keys.session_keys("test", session_id)
        await manager._backend.run(operations.validate(target, 60_000, 0, False))
        assert manager.cached_session(session_id) is not None
        await manager._backend.run(operations.validate(target, 0, 0, False))
        assert manager.cached_session(session_id) is None
