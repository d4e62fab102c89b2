"""sweep: remove expired sessions from the indexes."""

from __future__ import annotations

import pytest

from chuk_sessions.core import index_operations, keys, operations, statuses
from tests.harness.references import listed, references


async def test_counts_each_expired_session_once(world):
    manager = world.manager()
    for number in range(30):
        await manager.allocate_session(f"s{number}", user_id=f"u{number % 3}", ttl_hours=1 if number < 20 else 5)
    await world.advance(hours=2)
    assert await manager.cleanup_expired_sessions() == 20
    assert await manager.cleanup_expired_sessions() == 0
    assert await manager.count_sessions() == 10


async def test_stays_in_its_sandbox(world):
    a, b = world.manager("a"), world.manager("b")
    await a.allocate_session("s1", ttl_hours=1)
    await b.allocate_session("s1", ttl_hours=1)
    await world.advance(hours=2)
    assert await a.cleanup_expired_sessions() == 1
    assert await b.cleanup_expired_sessions() == 1


async def test_sweeps_more_sessions_than_one_call_can(world):
    manager = world.manager()
    for _ in range(1100):
        await manager.allocate_session(user_id="alice", ttl_hours=1)
    await world.advance(hours=2)
    assert await manager.cleanup_expired_sessions() == 1100


async def test_a_custom_provider_has_nothing_to_sweep(single):
    manager = single.manager()
    assert await manager.cleanup_expired_sessions() == 0


async def sweep_own(world):
    await world.manager().cleanup_expired_sessions()


async def sweep_all(world):
    await world.manager("other").cleanup_expired_sessions(all_sandboxes=True)


async def allocate(world):
    await world.manager().allocate_session(user_id="alice")


async def allocate_under_a_cap(world):
    await world.manager(max_sessions_per_user=1).allocate_session(user_id="alice")


async def no_step(world):
    """Leave the indexes as they are."""


@pytest.mark.parametrize("hours", [0.05, 2, 500])
@pytest.mark.parametrize("idle", [None, 60])
@pytest.mark.parametrize("clear", [sweep_own, sweep_all, allocate, allocate_under_a_cap, no_step])
async def test_a_user_finds_live_sessions_after_the_clock_steps_forward_and_back(world, clear, idle, hours):
    manager = world.manager(idle_timeout_seconds=idle, default_ttl_hours=hours / 2)
    created = [await manager.allocate_session(user_id="alice") for _ in range(20)]
    created.append(await manager.allocate_session("own", user_id="alice"))
    await world.advance(hours=hours)
    await clear(world)
    await world.advance(hours=-hours)
    alive = [session_id for session_id in created if await manager.validate_session(session_id)]
    assert set(references(alive)) <= set(await listed(manager, "alice"))
    assert await manager.revoke_user_sessions("alice") >= len(alive)
    assert [session_id for session_id in created if await manager.validate_session(session_id)] == []


async def test_spares_a_named_session_that_a_clock_step_has_brought_back_to_life(world):
    manager = world.manager(retention_seconds=3 * 3600)
    session_id = await manager.allocate_session(user_id="alice", ttl_hours=1)
    session = keys.session_keys("test", session_id)
    await world.advance(hours=2)
    _, _, expired, marked = await world.backend.run(index_operations.sweep(session.index_keys, "test"))
    assert (expired, marked) == ([session.handle], [])
    await world.advance(hours=-2)
    reply = await world.backend.run(index_operations.sweep(session.index_keys, "test", expired))
    assert reply == [statuses.OK, 0, [], []]
    assert await manager.validate_session(session_id)
    assert await manager.count_sessions("alice") == 1


async def test_removes_index_entries_without_a_session(world):
    index = keys.index("test", 7)
    call = operations.allocate(
        keys.SessionKeys(b"\xff{x}/", f"{index.records}odd", index), "test",
        ttl_ms=1, idle_ms=0, owner=b"", user=0, cap=0, retention_ms=0, create=True,
    )  # fmt: skip
    await world.backend.run(call)
    await world.advance(ms=2)
    assert await world.manager().cleanup_expired_sessions() == 1
    assert await world.manager().cleanup_expired_sessions() == 0
