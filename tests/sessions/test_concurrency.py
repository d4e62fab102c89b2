"""Several processes, threads and event loops that use the same sessions."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.providers import memory, redis
from tests.harness.references import listed, references
from tests.harness.worlds import NOW_FROM_KEY, NOW_KEY, ServerWorld
from tests.redis.tools import until

PREFIX = """
import asyncio, sys
from chuk_sessions import SessionManager
from chuk_sessions.providers import redis
url, session_id, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
manager = SessionManager("test", redis.factory(url))
"""


def run_processes(code, server, session_id, number=4):
    """Run `code` in `number` concurrent processes, and return the output of each."""
    script = PREFIX + textwrap.dedent(code)
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, server.url, session_id, str(index)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(number)
    ]
    outputs = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0] * number, outputs
    return [out for out, _ in outputs]


@pytest.fixture
async def manager(server):
    async with SessionManager("test", redis.factory(server.url)) as manager:
        yield manager


async def test_no_update_of_four_processes_is_lost(manager, server):
    session_id = await manager.allocate_session()
    code = """
    async def main():
        for step in range(200):
            assert await manager.update_session_metadata(session_id, {f"{number}-{step}": step})
    asyncio.run(main())
    """
    await asyncio.to_thread(run_processes, code, server, session_id)
    assert len((await manager.get_session_info(session_id))["custom_metadata"]) == 800


async def test_as_many_of_2000_increments_of_four_processes_succeed_as_the_ceiling_allows(manager, server):
    session_id = await manager.allocate_session()
    code = """
    async def main():
        calls = (manager.increment_session_counter(session_id, "n", ceiling=1000) for _ in range(500))
        print(sum(map(bool, await asyncio.gather(*calls))))
    asyncio.run(main())
    """
    outputs = await asyncio.to_thread(run_processes, code, server, session_id)
    assert sum(map(int, outputs)) == 1000
    assert (await manager.get_session_info(session_id))["custom_metadata"] == {"n": 1000}


async def test_ten_gateways_in_two_processes_admit_exactly_what_a_rate_limit_allows(server):
    """Each gateway sends half of its 1,000 requests, waits until half a period has passed, and sends the rest."""
    world = ServerWorld(ManualClock(time.time_ns() // 1_000_000), server)
    session_id, start = await world.manager().allocate_session(), world.clock.now_ms()
    code = f"""
    from chuk_sessions.backends.redis import RedisBackend, scripts
    from chuk_sessions.providers.factory import Factory

    async def clock_moved(backend):
        while int((await backend.command("GET", "{NOW_KEY}"))[0]) == {start}:
            await asyncio.sleep(0.01)

    async def send(gateway, backend):
        halves = []
        for _ in range(2):
            calls = (gateway.rate_limit_session(session_id, "api", 100, 60) for _ in range(500))
            halves.append(sum(map(bool, await asyncio.gather(*calls))))
            await backend.command("INCR", "halves")
            await clock_moved(backend)
        return halves

    async def main():
        loaded = scripts.load({{"now": {NOW_FROM_KEY!r}}})
        backends = [RedisBackend(url, loaded=loaded) for _ in range(5)]
        gateways = [SessionManager("test", Factory(backend, lambda: None)) for backend in backends]
        print(*[number for halves in await asyncio.gather(*map(send, gateways, backends)) for number in halves])
        for gateway in gateways:
            await gateway.aclose()
    asyncio.run(main())
    """
    with server.client() as client:
        work = asyncio.create_task(asyncio.to_thread(run_processes, code, server, session_id, 2))
        await until(lambda: work.done() or client.get("halves") == b"10", seconds=60)
    await world.advance(seconds=30)
    halves = [[int(number) for number in out.split()] for out in await work]
    assert sum(sum(numbers[0::2]) for numbers in halves) == 100
    assert sum(sum(numbers[1::2]) for numbers in halves) == 50
    await world.close()


async def test_a_session_that_one_process_revokes_is_gone_for_the_next_call_of_another(manager, server):
    session_id = await manager.allocate_session(user_id="alice")
    code = """
    async def main():
        assert await manager.validate_session(session_id)
        print("validated", flush=True)
        sys.stdin.readline()
        results = [
            await manager.validate_session(session_id),
            await manager.update_session_metadata(session_id, {"a": 1}),
            await manager.extend_session_ttl(session_id, 1),
            await manager.validate_session(session_id),
        ]
        print(results)
    asyncio.run(main())
    """
    other = subprocess.Popen(  # noqa: ASYNC220  (the test reads its first line before it continues)
        [sys.executable, "-c", PREFIX + textwrap.dedent(code), server.url, session_id, "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "validated\n"
    assert await manager.revoke_user_sessions("alice") == 1
    output, _ = other.communicate("go\n", timeout=30)
    assert output == "[False, False, False, False]\n"
    assert await manager.get_session_info(session_id) is None


async def test_revoking_all_but_one_from_another_process(manager, server):
    session_ids = [await manager.allocate_session(user_id="alice") for _ in range(12)]
    session_ids += [await manager.allocate_session(f"own-{number}", user_id="alice") for number in range(8)]
    code = """
    async def main():
        assert len(await manager.list_user_sessions("alice")) == 20
        print(await manager.revoke_user_sessions("alice", except_session_id=session_id))
    asyncio.run(main())
    """
    assert await asyncio.to_thread(run_processes, code, server, session_ids[15], 1) == ["19\n"]
    assert await listed(manager, "alice") == references([session_ids[15]])


async def test_a_cap_holds_when_processes_allocate_concurrently(server):
    code = """
    async def main():
        capped = SessionManager("test", redis.factory(url), max_sessions_per_user=5)
        await asyncio.gather(*(capped.allocate_session(user_id="alice") for _ in range(20)), return_exceptions=True)
        print(await capped.count_sessions("alice"))
    asyncio.run(main())
    """
    outputs = await asyncio.to_thread(run_processes, code, server, "-", 3)
    assert max(map(int, outputs)) <= 5
    async with SessionManager("test", redis.factory(server.url)) as manager:
        assert await manager.count_sessions("alice") == 5


@pytest.mark.parametrize("provider", ["memory", "redis"])
async def test_threads_with_loops_of_their_own_share_sessions(provider, server):
    factory = memory.factory(ManualClock()) if provider == "memory" else redis.factory(server.url)
    manager = SessionManager("test", factory)
    session_id = await manager.allocate_session()

    async def count():
        for _ in range(100):
            assert await manager.increment_session_counter(session_id, "n")

    with ThreadPoolExecutor(4) as pool:
        await asyncio.gather(*(asyncio.to_thread(asyncio.run, count()) for _ in range(2)), count())
        list(pool.map(lambda _: asyncio.run(count()), range(4)))
    assert (await manager.get_session_info(session_id))["custom_metadata"] == {"n": 700}
    await manager.aclose()


def test_one_manager_and_one_factory_work_in_several_loops_one_after_another(own_server):
    server = own_server
    factory = redis.factory(server.url)
    manager = SessionManager("test", factory)

    async def use():
        async with factory() as store:
            await store.setex("k", 60, "v")
            assert await store.get("k") == "v"
        session_id = await manager.allocate_session()
        return await manager.validate_session(session_id)

    assert [asyncio.run(use()) for _ in range(5)] == [True] * 5
    gc.collect()
    with server.client() as client:
        asyncio.run(only_connection(client))


async def only_connection(client):
    """Wait until the server has closed all connections but this one. A busy server is late."""
    await until(lambda: len(client.client_list()) == 1)


async def test_a_manager_opens_no_connection_until_it_is_used_and_closes_it(own_server):
    server = own_server
    with server.client() as client:
        managers = [SessionManager("test", redis.factory(server.url)) for _ in range(20)]
        assert len(client.client_list()) == 1
        for manager in managers:
            await manager.allocate_session()
        assert len(client.client_list()) == 2
        for manager in managers[1:]:
            await manager.aclose()
        assert await managers[0].count_sessions() == 20
        await managers[0].aclose()
        await managers[0].aclose()
        await only_connection(client)


def test_threads_can_open_and_close_managers(server):
    factory = redis.factory(server.url)

    async def use():
        for _ in range(20):
            async with SessionManager("test", factory) as manager:
                assert not await manager.validate_session("unknown")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: asyncio.run(use()), range(8)))


def test_an_emulator_without_references_is_collected():
    import weakref

    backends = [weakref.ref(memory.factory(ManualClock()).backend) for _ in range(10)]
    gc.collect()
    assert [backend() for backend in backends] == [None] * 10


async def test_a_closed_manager_raises_an_error(server):
    from chuk_sessions import ManagerClosedError

    async with SessionManager("test", redis.factory(server.url)) as manager:
        session_id = await manager.allocate_session()
    with pytest.raises(ManagerClosedError):
        await manager.validate_session(session_id)


async def test_locks_of_custom_providers_work_across_loops_and_release_canceled_waiters():
    from chuk_sessions.backends.locks import KeyLocks

    locks, inside, most = KeyLocks(), 0, 0
    mutex = threading.Lock()

    async def enter():
        nonlocal inside, most
        async with locks.hold("k"):
            with mutex:
                inside += 1
                most = max(most, inside)
            await asyncio.sleep(0)
            with mutex:
                inside -= 1

    async def many():
        tasks = [asyncio.ensure_future(enter()) for _ in range(50)]
        await asyncio.sleep(0)
        for task in tasks[1::3]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, many()) for _ in range(4)), many())
    assert (most, inside) == (1, 0)
    await asyncio.wait_for(enter(), 5)
