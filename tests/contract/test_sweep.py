"""sweep: ended sessions leave the indexes."""

from __future__ import annotations


async def test_finds_each_ended_session_once(world):
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


async def test_takes_more_than_one_call_can(world):
    manager = world.manager()
    for _ in range(1100):
        await manager.allocate_session(user_id="alice", ttl_hours=1)
    await world.advance(hours=2)
    assert await manager.cleanup_expired_sessions() == 1100


async def test_a_custom_provider_has_nothing_to_sweep(single):
    manager = single.manager()
    assert await manager.cleanup_expired_sessions() == 0
