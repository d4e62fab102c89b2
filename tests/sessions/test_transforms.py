"""Transforms: no concurrent change of a value is lost, and a function runs no more often than conflicts demand."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from chuk_sessions import (
    ABSENT,
    InvalidMetadataError,
    MetadataConflictError,
    MetadataTooLargeError,
    SessionManager,
    SessionTooLargeError,
    SessionUnavailableError,
    Transformed,
)
from chuk_sessions.core import data_operations
from chuk_sessions.core.keys import session_keys
from chuk_sessions.engine import key_queues
from chuk_sessions.engine.transform import pause
from chuk_sessions.providers import memory, redis
from tests.redis.tools import LONG
from tests.sessions.test_concurrency import run_processes


async def metadata_of(manager, session_id):
    return (await manager.get_session_info(session_id))["custom_metadata"]


def adder(item):
    return lambda items: [*items, item]


async def test_replaces_a_value_by_the_result_of_the_function(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"n": 1, "other": [1.0, "ü"]})
    assert await manager.transform_session_metadata(session_id, "n", lambda n: n + 1) == Transformed(2, 1)
    assert await manager.transform_session_metadata(session_id, "m", lambda m: m or "x") == Transformed("x", 1)
    assert await metadata_of(manager, session_id) == {"n": 2, "m": "x", "other": [1.0, "ü"]}


async def test_the_function_may_change_its_argument_if_it_returns_it(single):
    manager = single.manager()
    session_id = await manager.allocate_session()

    def put(cart):
        cart["book"] = cart.get("book", 0) + 1
        return cart

    default = {}
    for number in (1, 2):
        assert await manager.transform_session_metadata(session_id, "cart", put, default) == ({"book": number}, 1)
    assert default == {}
    for key in ("cart", "missing"):
        with pytest.raises(ValueError, match="None"):
            await manager.transform_session_metadata(session_id, key, lambda cart: cart.update(pen=1), {})
    assert await metadata_of(manager, session_id) == {"cart": {"book": 2}}
    assert await manager.transform_session_metadata(session_id, "cart", lambda cart: None) == (None, 1)
    assert await metadata_of(manager, session_id) == {"cart": None}


async def test_absent_removes_the_key_and_stands_for_a_missing_one(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"a": 1, "b": 2})
    seen = []
    assert await manager.transform_session_metadata(session_id, "a", lambda _: ABSENT) == (ABSENT, 1)
    assert await metadata_of(manager, session_id) == {"b": 2}
    await manager.transform_session_metadata(session_id, "a", lambda value: seen.append(value) or 5, ABSENT)
    assert seen == [ABSENT]
    assert await metadata_of(manager, session_id) == {"a": 5, "b": 2}


async def test_an_unchanged_value_is_not_written(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"a": {"x": 1}})
    assert await manager.transform_session_metadata(session_id, "a", lambda value: value) == ({"x": 1}, 1)
    assert await manager.transform_session_metadata(session_id, "b", lambda _: ABSENT) == (ABSENT, 1)
    assert (await manager.get_session_metadata(session_id)).version == 1


async def test_an_error_of_the_function_propagates_and_nothing_changes(single):
    manager = single.manager(max_metadata_bytes=50, max_session_bytes=40)
    session_id = await manager.allocate_session(custom_metadata={"a": []})
    before = await manager.get_session_metadata(session_id)
    errors = {ZeroDivisionError: lambda a: 1 / len(a), MetadataConflictError: conflicting}
    results = {InvalidMetadataError: (1, 2), MetadataTooLargeError: "x" * 50, SessionTooLargeError: "x" * 45}
    for error, function in {**errors, **{error: lambda _, r=result: r for error, result in results.items()}}.items():
        with pytest.raises(error):
            await manager.transform_session_metadata(session_id, "a", function)
    assert await manager.get_session_metadata(session_id) == before
    # The turn was passed on.
    assert await manager.transform_session_metadata(session_id, "a", adder(1)) == ([1], 1)


def conflicting(_):
    raise MetadataConflictError(("a",))


async def test_is_none_without_a_session(single):
    manager = single.manager()
    assert await manager.transform_session_metadata("unknown", "a", adder(1), []) is None
    assert await manager.transform_session_metadata("{bad}", "a", adder(1), []) is None
    session_id = await manager.allocate_session(ttl_hours=1)
    await single.advance(hours=1)
    assert await manager.transform_session_metadata(session_id, "a", adder(1), []) is None


async def test_is_none_when_the_session_ends_during_the_function(single):
    manager = single.manager()
    for key in (None, "once"):
        session_id = await manager.allocate_session()

        async def end(call, session_id=session_id):
            if call.operation is data_operations.MERGE:
                await manager.delete_session(session_id)

        transform = single.intercepted(end).transform_session_metadata
        assert await transform(session_id, "a", adder(1), [], idempotency_key=key) is None
        assert await manager.get_session_info(session_id) is None


@pytest.mark.parametrize("function", [None, 7, "f"])
async def test_refuses_values_that_are_not_functions(single, function):
    manager = single.manager()
    session_id = await manager.allocate_session()
    with pytest.raises(ValueError, match="function"):
        await manager.transform_session_metadata(session_id, "a", function)


async def test_refuses_other_invalid_arguments(single):
    manager = single.manager()
    session_id = await manager.allocate_session()

    async def coroutine(value):
        return value

    with pytest.raises(ValueError, match="coroutine"):
        await manager.transform_session_metadata(session_id, "a", coroutine)
    for attempts in (0, -1, 1.5, True, None):
        with pytest.raises(ValueError, match="max_attempts"):
            await manager.transform_session_metadata(session_id, "a", adder(1), [], max_attempts=attempts)
    with pytest.raises(ValueError, match="idempotency"):
        await manager.transform_session_metadata(session_id, "a", adder(1), [], idempotency_key="")
    with pytest.raises(InvalidMetadataError):
        await manager.transform_session_metadata(session_id, 7, adder(1), [])


async def test_follows_a_rotated_id(single):
    manager = single.manager()
    old = await manager.allocate_session()
    new = await manager.rotate_session(old, grace_seconds=60)
    assert await manager.transform_session_metadata(old, "a", adder(1), []) == ([1], 1)
    assert await metadata_of(manager, new) == {"a": [1]}


async def test_repeats_after_a_change_by_another_client_and_compares_bytes(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    texts = iter([b"[1]", b"[1.0]", b"[1,2]"])

    async def interfere(call):
        if call.operation is data_operations.MERGE and (text := next(texts, None)):
            await single.backend.run(data_operations.merge(session_keys("test", session_id), pairs=[b"m:a", text]))

    transform = single.intercepted(interfere).transform_session_metadata
    assert await transform(session_id, "a", adder(3), []) == ([1, 2, 3], 4)


async def test_gives_up_after_the_most_attempts(single):
    manager = single.manager()
    session_id = await manager.allocate_session()

    async def interfere(call):
        if call.operation is data_operations.MERGE:
            await manager.increment_session_counter(session_id, "a")

    transform = single.intercepted(interfere).transform_session_metadata
    with pytest.raises(MetadataConflictError):
        await transform(session_id, "a", lambda n: n + 1, 0, max_attempts=3)
    assert await metadata_of(manager, session_id) == {"a": 3}


async def test_other_changes_do_not_conflict(single):
    manager = single.manager()
    session_id = await manager.allocate_session()

    async def interfere(call):
        if call.operation is data_operations.MERGE:
            await manager.increment_session_counter(session_id, "n")
            await manager.extend_session_ttl(session_id, 1)

    transform = single.intercepted(interfere).transform_session_metadata
    assert await transform(session_id, "a", adder(1), []) == ([1], 1)


async def test_is_applied_once_per_idempotency_key(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    answers = [
        await manager.transform_session_metadata(session_id, "a", adder(1), [], idempotency_key="k") for _ in range(2)
    ]
    await manager.append_session_metadata(session_id, "a", 2)
    answers.append(await manager.transform_session_metadata(session_id, "a", conflicting, idempotency_key="k"))
    assert answers == [([1], 1), ([1], 0), ([1, 2], 0)]
    unchanged = await manager.transform_session_metadata(session_id, "a", lambda a: a, idempotency_key="same")
    await manager.append_session_metadata(session_id, "a", 3)
    assert unchanged == ([1, 2], 1)
    assert await manager.transform_session_metadata(session_id, "a", conflicting, idempotency_key="same") == (
        [1, 2, 3],
        0,
    )
    await single.advance(seconds=601)
    assert await manager.transform_session_metadata(session_id, "a", adder(4), idempotency_key="k") == ([1, 2, 3, 4], 1)


async def test_a_call_with_the_same_key_that_comes_first_during_the_function_counts(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    first = True

    async def interfere(call):
        nonlocal first
        if call.operation is data_operations.MERGE and first:
            first = False
            options = {"pairs": [b"m:a", b'["other"]'], "operation_id": call.argv[2]}
            await single.backend.run(data_operations.merge(session_keys("test", session_id), **options))

    transform = single.intercepted(interfere).transform_session_metadata
    assert await transform(session_id, "a", adder(1), [], idempotency_key="k") == (["other"], 0)


async def test_20_concurrent_additions_take_20_attempts(single):
    managers = [single.manager() for _ in range(4)]
    session_id = await managers[0].allocate_session()
    calls = (managers[n % 4].transform_session_metadata(session_id, "cart", adder(n), []) for n in range(20))
    answers = await asyncio.gather(*calls)
    assert sum(answer.attempts for answer in answers) == 20
    assert await metadata_of(managers[0], session_id) == {"cart": list(range(20))}


async def test_transforms_of_other_keys_and_sessions_do_not_wait(single):
    manager = single.manager()
    session_id, other = await manager.allocate_session(), await manager.allocate_session()
    blocked, free = asyncio.Event(), asyncio.Event()

    async def hold(call):
        if call.operation is data_operations.MERGE:
            blocked.set()
            await free.wait()

    held = asyncio.ensure_future(single.intercepted(hold).transform_session_metadata(session_id, "a", adder(1), []))
    await blocked.wait()
    assert await manager.transform_session_metadata(session_id, "b", adder(1), []) == ([1], 1)
    assert await manager.transform_session_metadata(other, "a", adder(1), []) == ([1], 1)
    free.set()
    assert await held == ([1], 1)


async def test_queues_take_no_memory_when_nobody_waits_and_pass_the_turn_on_after_a_cancellation(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    tasks = [
        asyncio.ensure_future(manager.transform_session_metadata(session_id, "a", adder(n), [])) for n in range(30)
    ]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    done = [n for n, result in enumerate(results) if isinstance(result, Transformed)]
    assert {n for n in range(30) if n % 3} <= set(done)
    assert set(done) <= set((await metadata_of(manager, session_id))["a"])
    assert key_queues._queues_of_loops[asyncio.get_running_loop()] == {}


async def test_an_outage_is_not_awaited_by_one_waiting_caller_after_another(single):
    session_id = await single.manager().allocate_session()
    down, running, most = True, 0, 0
    entered, free = asyncio.Event(), asyncio.Event()

    async def fail(call):
        nonlocal running, most
        running += 1
        most = max(most, running)
        entered.set()
        await free.wait()
        await asyncio.sleep(0)
        running -= 1
        if down:
            raise SessionUnavailableError("down")

    manager = single.intercepted(fail)
    calls = [
        asyncio.ensure_future(manager.transform_session_metadata(session_id, "a", adder(n), [])) for n in range(10)
    ]
    await entered.wait()
    assert (running, most) == (1, 1)
    free.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [SessionUnavailableError] * 10
    assert most == 9
    down = False
    assert await manager.transform_session_metadata(session_id, "a", adder(1), []) == ([1], 1)


def test_pauses_grow_and_then_shrink_so_that_the_unlucky_come_first():
    longest = [max(pause(lost, 1.0) for _ in range(300)) for lost in range(1, 40)]
    assert max(longest) <= 8
    assert longest[0] < longest[2] > longest[5] > longest[38]


@pytest.mark.parametrize("provider", ["memory", "redis"])
async def test_threads_with_loops_of_their_own_lose_nothing(provider, server):
    factory = memory.factory() if provider == "memory" else redis.factory(server.url)
    manager = SessionManager("test", factory)
    session_id = await manager.allocate_session()

    async def add(thread):
        calls = (manager.transform_session_metadata(session_id, "a", adder(25 * thread + n), []) for n in range(25))
        await asyncio.gather(*calls)

    with ThreadPoolExecutor(4) as pool:
        await asyncio.get_running_loop().run_in_executor(
            None, lambda: list(pool.map(lambda thread: asyncio.run(add(thread)), range(4)))
        )
    assert sorted((await metadata_of(manager, session_id))["a"]) == list(range(100))
    await manager.aclose()


@pytest.mark.parametrize(("processes", "each"), [(4, 20), (16, 40)] if LONG else [(4, 20)])
async def test_no_transform_of_several_processes_is_lost(server, processes, each):
    """Additions by several processes at the same time, half of them one after another and half concurrent."""
    async with SessionManager("test", redis.factory(server.url)) as manager:
        session_id = await manager.allocate_session()
        code = f"""
        async def add(step):
            change = lambda cart: [*cart, 1000 * number + step]
            return (await manager.transform_session_metadata(session_id, "cart", change, [])).attempts
        async def main():
            attempts = [await add(step) for step in range({each // 2})]
            print(sum(attempts) + sum(await asyncio.gather(*map(add, range({each // 2}, {each})))))
        asyncio.run(main())
        """
        attempts = await asyncio.to_thread(run_processes, code, server, session_id, processes)
        cart = (await metadata_of(manager, session_id))["cart"]
        assert sorted(cart) == [1000 * number + step for number in range(processes) for step in range(each)]
        assert sum(map(int, attempts)) >= processes * each
        # Without an idempotency key, a session remembers a transform for two minutes.
        with server.client() as client:
            assert client.zcard(session_keys("test", session_id).operations) == processes * each
