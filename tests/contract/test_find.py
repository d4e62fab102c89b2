"""find: return the first handles of a user in a bucket."""

from __future__ import annotations

from chuk_sessions.core import ids, index_operations, keys, statuses
from tests.harness.references import listed, references
from tests.harness.strays import HOME, USER, home_index


async def find(world, limit=500, user=USER):
    return await world.backend.run(index_operations.find(home_index(), ids.user_hash(user), limit))


async def test_returns_handles_in_order_up_to_the_limit(world):
    manager = world.manager()
    created = [await manager.allocate_session(user_id=USER) for _ in range(5)]
    handles = sorted(keys.session_keys("test", session_id).handle for session_id in created)
    assert await find(world) == [statuses.OK, handles]
    assert await find(world, 3) == [statuses.OK, handles[:3]]
    assert await find(world, user="bob") == [statuses.OK, []]


async def test_includes_expired_sessions_until_they_are_swept(world):
    manager = world.manager()
    await manager.allocate_session(user_id=USER, ttl_hours=1)
    await world.advance(hours=2)
    assert len((await find(world))[1]) == 1
    assert await manager.list_user_sessions(USER) == []
    await manager.cleanup_expired_sessions()
    assert await find(world) == [statuses.OK, []]


async def test_more_sessions_than_one_call_returns_are_listed_and_counted(world):
    manager = world.manager()
    created = [await manager.allocate_session(user_id=USER) for _ in range(index_operations.PAGE_LIMIT + 7)]
    assert sorted(await listed(manager, USER)) == sorted(references(created))
    assert await manager.count_sessions(USER) == len(created)
    assert ids.home_bucket("test", USER) == HOME
    assert await manager.revoke_user_sessions(USER) == len(created)
