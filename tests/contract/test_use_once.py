"""use_once: an id is used once, by whichever process comes first, until it is forgotten."""

from __future__ import annotations

import asyncio

from chuk_sessions.core import single_use
from chuk_sessions.core.operation import Call
from chuk_sessions.core.statuses import EXISTS, OK


async def use(world, name, ttl_ms=1000, sandbox_id="test"):
    (status,) = await world.backend.run(single_use.use_once(sandbox_id, name, ttl_ms))
    return status


async def test_an_id_is_used_once_in_each_sandbox(single):
    assert [await use(single, "one") for _ in range(3)] == [OK, EXISTS, EXISTS]
    assert await use(single, "two") == OK
    assert await use(single, "one", sandbox_id="other") == OK


async def test_one_of_many_concurrent_uses_is_the_first(single):
    statuses = await asyncio.gather(*[use(single, "one", 60_000) for _ in range(20)])
    assert sorted(statuses) == [OK] + 19 * [EXISTS]


async def test_an_id_is_forgotten_on_time(world):
    assert await use(world, "one", 1000) == OK
    await world.advance(ms=600)
    assert await use(world, "one", 1000) == EXISTS
    await world.advance(ms=400)
    assert await use(world, "one", 1000) == OK


async def test_a_retry_is_no_second_use(single):
    call = single_use.use_once("test", "one", 60_000)
    assert [await single.backend.run(call) for _ in range(2)] == [[OK], [OK]]
    again = Call(call.operation, call.keys, (b"another", 60_000))
    assert await single.backend.run(again) == [EXISTS]


async def test_any_text_is_an_id(single):
    for name in ("", "\ud800", "é", "\x00", "a" * 100_000, "{x}/*"):
        assert [await use(single, name, 60_000) for _ in range(2)] == [OK, EXISTS]


async def test_ids_are_no_sessions(single):
    await use(single, "sess-1", 60_000)
    assert not await single.manager().validate_session("sess-1")
    assert single_use.key_of("test", "sess-1").count("/p/") == 1
