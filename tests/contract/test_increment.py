"""increment: add to a counter up to a ceiling, atomically."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions import Increment, NotACounterError
from chuk_sessions.core import operations
from chuk_sessions.core.keys import session_keys

LARGEST = 2**53 - 1


async def test_a_missing_counter_starts_at_zero(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    assert await manager.increment_session_counter(session_id, "n") == Increment(True, 1)
    assert await manager.increment_session_counter(session_id, "n", 41) == Increment(True, 42)
    assert await manager.increment_session_counter(session_id, "n", -50) == Increment(True, -8)
    assert (await manager.get_session_info(session_id))["custom_metadata"] == {"n": -8}


async def test_continues_from_the_value_in_the_metadata(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"requests": 7})
    assert await manager.increment_session_counter(session_id, "requests") == (True, 8)


async def test_stops_at_the_ceiling_and_is_falsy_there(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"n": 8})
    assert await manager.increment_session_counter(session_id, "n", 2, ceiling=10)
    refused = await manager.increment_session_counter(session_id, "n", ceiling=10)
    assert refused == Increment(False, 10)
    assert not refused
    assert await manager.increment_session_counter(session_id, "n", -1, ceiling=5) == Increment(True, 9)


@pytest.mark.parametrize("value", ["7", 1.0, True, None, [], {}, 2**53, -(2**53), 10**30], ids=repr)
async def test_refuses_a_value_that_is_not_an_exact_whole_number(single, value):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"n": value})
    with pytest.raises(NotACounterError):
        await manager.increment_session_counter(session_id, "n")
    assert (await manager.get_session_info(session_id))["custom_metadata"] == {"n": value}


@pytest.mark.parametrize(("start", "amount"), [(LARGEST, 1), (-LARGEST, -1), (1, LARGEST), (LARGEST, LARGEST)])
async def test_never_leaves_the_range_of_exact_numbers(single, start, amount):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"n": start})
    with pytest.raises(NotACounterError):
        await manager.increment_session_counter(session_id, "n", amount)
    assert (await manager.get_session_info(session_id))["custom_metadata"] == {"n": start}


async def test_is_exact_up_to_the_end_of_the_range(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"up": LARGEST - 1, "down": 1 - LARGEST})
    assert await manager.increment_session_counter(session_id, "up") == (True, LARGEST)
    assert await manager.increment_session_counter(session_id, "down", -1) == (True, -LARGEST)
    assert (await manager.get_session_info(session_id))["custom_metadata"] == {"up": LARGEST, "down": -LARGEST}


@pytest.mark.parametrize("amount", [1.5, "1", True, 2**53, None])
async def test_refuses_invalid_amounts_and_ceilings(single, amount):
    manager = single.manager()
    session_id = await manager.allocate_session()
    with pytest.raises(ValueError, match="amount"):
        await manager.increment_session_counter(session_id, "n", amount)
    if amount is not None:
        with pytest.raises(ValueError, match="ceiling"):
            await manager.increment_session_counter(session_id, "n", ceiling=amount)


async def test_counts_once_per_idempotency_key(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    answers = [await manager.increment_session_counter(session_id, "n", idempotency_key="x") for _ in range(3)]
    assert answers == [(True, 1)] * 3


async def test_forgets_idempotency_keys_after_ten_minutes(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    await manager.increment_session_counter(session_id, "n", idempotency_key="a")
    await single.advance(seconds=601)
    await manager.increment_session_counter(session_id, "n", idempotency_key="b")
    assert await manager.increment_session_counter(session_id, "n", idempotency_key="a") == (True, 3)


async def test_idempotency_keys_do_not_grow_what_a_read_returns(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    lengths = set()
    for number in range(100, 300):
        await manager.increment_session_counter(session_id, "n", idempotency_key=f"{number}")
        await manager.increment_session_counter(session_id, "n", -1)
        reply = await single.backend.run(operations.read(session_keys("test", session_id)))
        lengths.add(len(reply[1]))
    assert len(lengths) == 1


async def test_changes_the_version(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    await manager.increment_session_counter(session_id, "n")
    assert (await manager.get_session_metadata(session_id)).version == 2


async def test_is_none_without_a_session(single):
    assert await single.manager().increment_session_counter("unknown", "n") is None
    assert await single.manager().get_session_info("unknown") is None


async def test_as_many_concurrent_increments_succeed_as_the_ceiling_allows(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    calls = (manager.increment_session_counter(session_id, "n", ceiling=100) for _ in range(300))
    answers = await asyncio.gather(*calls)
    assert sum(map(bool, answers)) == 100
    assert sorted(answer.value for answer in answers if answer) == list(range(1, 101))
