"""due: name the sandboxes that have expired sessions to sweep."""

from __future__ import annotations

from chuk_sessions.core import index_operations, keys


async def due(world):
    return {
        (bucket, sandbox)
        for bucket in range(256)
        for sandbox in (await world.backend.run(index_operations.due(keys.sandboxes(bucket))))[1]
    }


async def test_names_sandboxes_once_their_first_session_has_expired(world):
    bucket = keys.session_keys("a", "s1").index_keys.bucket
    await world.manager("a").allocate_session("s1", ttl_hours=3)
    await world.manager("b").allocate_session("s1", ttl_hours=1)
    assert await due(world) == set()
    await world.advance(hours=2)
    assert await due(world) == {(bucket, b"b")}
    await world.advance(hours=2)
    assert await due(world) == {(bucket, b"a"), (bucket, b"b")}


async def test_a_sweep_of_all_sandboxes_leaves_none_due(world):
    for sandbox in ("a", "b", "c"):
        manager = world.manager(sandbox)
        for number in range(5):
            await manager.allocate_session(f"s{number}", user_id="alice", ttl_hours=1 + number % 2 * 5)
    await world.advance(hours=2)
    assert await world.manager("d").cleanup_expired_sessions(all_sandboxes=True) == 9
    assert await due(world) == set()
    await world.advance(hours=5)
    assert await world.manager("d").cleanup_expired_sessions(all_sandboxes=True) == 6


async def test_a_sweep_of_all_sandboxes_finds_more_than_one_call_names(world):
    number = index_operations.SWEEP_LIMIT + 1
    for sandbox in range(number):
        await world.manager(f"sandbox{sandbox}").allocate_session("s1", ttl_hours=1)
    await world.advance(hours=2)
    assert len(await due(world)) == index_operations.SWEEP_LIMIT
    assert await world.manager().cleanup_expired_sessions(all_sandboxes=True) == number
    assert await due(world) == set()


async def test_a_sweep_stores_when_the_next_session_expires(world):
    manager = world.manager("a")
    await manager.allocate_session("s1", ttl_hours=1)
    await manager.extend_session_ttl("s1", 4)
    await world.advance(hours=2)
    assert len(await due(world)) == 1
    assert await manager.cleanup_expired_sessions(all_sandboxes=True) == 0
    assert await due(world) == set()
