"""Damaged records affect no other session: lists leave them out, caps evict them first, and callers can delete and
revoke them.
"""

from __future__ import annotations

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.core import data_operations, ids, keys, operations
from chuk_sessions.providers import redis
from tests.harness import strays
from tests.harness.references import listed, references

USER = "alice"
STRAY = strays.id_in((strays.HOME + 1) % ids.BUCKETS)
UNREADABLE = {
    "creation is missing": ([], [b"c"]),
    "creation is invalid": ([b"c", b"soon"], []),
    "deadline is invalid": ([b"d", b"soon"], []),
    "deadline is missing": ([], [b"d"]),
    "last access is missing": ([], [b"a"]),
    "last access is a float": ([b"a", b"1e12"], []),
    "idle timeout is invalid": ([b"i", b"x"], []),
    "version is invalid": ([b"v", b"1.5"], []),
    "version is missing": ([], [b"v"]),
    "owner is not text": ([b"u", b"\xff\xfe"], []),
    "looks like a pointer": ([b"r", b"nowhere"], [b"a"]),
    "looks like a pointer that is not text": ([b"r", b"\xff"], [b"a"]),
}
HALF_READABLE = {
    "owner is missing": ([], [b"u"]),
    "metadata is not JSON": ([b"m:x", b"{"], []),
    "creation is outside of the calendar": ([b"c", b"9" * 17], []),
}
NOT_THERE = ("deadline is missing", "looks like a pointer", "looks like a pointer that is not text")


def for_each(table):
    return pytest.mark.parametrize("damage", table.values(), ids=table)


async def damaged(world, damage, number=1):
    """Create sessions of the user, and damage their records."""
    session_ids = [await world.manager().allocate_session(user_id=USER) for _ in range(number)]
    for session_id in session_ids:
        pairs, removals = damage
        await world.backend.run(
            data_operations.merge(keys.session_keys("test", session_id), pairs=pairs, removals=removals)
        )
    return session_ids


@for_each(UNREADABLE | HALF_READABLE)
async def test_lists_leave_them_out_with_at_most_one_warning(world, damage, caplog):
    manager = world.manager()
    bad = await damaged(world, damage, 3)
    good = [await manager.allocate_session(user_id=USER) for _ in range(2)]
    assert set(await listed(manager, USER)) == set(references(good))
    assert len(caplog.records) <= 1
    assert not any(session_id in caplog.text for session_id in bad)


async def test_a_list_logs_one_warning(world, caplog):
    await damaged(world, UNREADABLE["creation is invalid"], 3)
    assert await world.manager().list_user_sessions(USER) == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cannot be read" in caplog.text


@for_each(UNREADABLE | HALF_READABLE)
async def test_they_are_revoked_with_the_others(world, damage):
    manager = world.manager()
    bad = await damaged(world, damage, 2)
    good = await manager.allocate_session(user_id=USER)
    kept = await manager.allocate_session(user_id=USER)
    assert await manager.revoke_user_sessions(USER, except_session_id=kept) in (1, 3)
    assert await manager.count_sessions(USER) == 1
    assert await manager.validate_session(kept)
    assert [await manager.validate_session(session_id) for session_id in (*bad, good)] == [False] * 3


@for_each(UNREADABLE | HALF_READABLE)
async def test_an_unreadable_excepted_session_spares_no_other(world, damage):
    manager = world.manager()
    [bad] = await damaged(world, damage)
    good = await manager.allocate_session(user_id=USER)
    await manager.revoke_user_sessions(USER, except_session_id=bad)
    assert not await manager.validate_session(good)


@pytest.mark.parametrize("name", sorted({*UNREADABLE, *HALF_READABLE} - {*NOT_THERE}))
async def test_they_can_be_deleted(world, name):
    [bad] = await damaged(world, (UNREADABLE | HALF_READABLE)[name])
    assert await world.manager().delete_session(bad)
    assert not await world.manager().validate_session(bad)
    assert await world.manager().count_sessions(USER) == 0


@for_each(UNREADABLE)
async def test_a_full_cap_evicts_them_first(world, damage):
    capped = world.manager(max_sessions_per_user=3)
    old = await capped.allocate_session(user_id=USER)
    await world.advance(seconds=1)
    [bad] = await damaged(world, damage)
    await world.advance(seconds=1)
    session_ids = [old, *[await capped.allocate_session(user_id=USER) for _ in range(2)]]
    assert await capped.count_sessions(USER) == 3
    assert set(await listed(capped, USER)) == set(references(session_ids))
    assert not await capped.validate_session(bad)


async def test_revoking_spares_a_session_without_an_owner(world):
    """The id belongs to the user when the index is read, and to a guest when the deletion arrives."""
    manager = world.manager()
    await manager.allocate_session("own", user_id=USER)

    async def become_a_guests(call):
        if call.operation is operations.DELETE:
            await manager.delete_session("own")
            await manager.allocate_session("own")

    assert await world.intercepted(become_a_guests).revoke_user_sessions(USER) == 0
    assert await manager.validate_session("own")


class TestWrongType:
    """The key of a session holds a string."""

    @pytest.fixture
    async def manager(self, any_server):
        async with SessionManager("test", redis.factory(any_server.url), max_sessions_per_user=3) as manager:
            yield manager

    async def session_with_wrong_type(self, manager, any_server):
        session_id = await manager.allocate_session(user_id=USER)
        with any_server.client() as client:
            client.set(keys.session_keys("test", session_id).record, "not a hash")
        return session_id

    async def test_lists_leave_it_out(self, manager, any_server, caplog):
        await self.session_with_wrong_type(manager, any_server)
        good = await manager.allocate_session(user_id=USER)
        assert await listed(manager, USER) == references([good])
        assert "cannot be read" in caplog.text

    async def test_it_is_revoked(self, manager, any_server):
        await self.session_with_wrong_type(manager, any_server)
        await manager.allocate_session(user_id=USER)
        assert await manager.revoke_user_sessions(USER) == 2
        assert await manager.count_sessions() == 0

    async def test_it_is_deleted(self, manager, any_server):
        assert await manager.delete_session(await self.session_with_wrong_type(manager, any_server))
        assert await manager.count_sessions() == 0

    async def test_a_full_cap_evicts_it_first(self, manager, any_server):
        good = [await manager.allocate_session(user_id=USER)]
        await self.session_with_wrong_type(manager, any_server)
        good += [await manager.allocate_session(user_id=USER) for _ in range(2)]
        assert set(await listed(manager, USER)) == set(references(good))

    async def test_an_index_entry_that_is_not_a_handle_is_evicted_and_revoked(self, manager, any_server):
        index_keys = keys.session_keys("test", await manager.allocate_session(user_id=USER)).index_keys
        with any_server.client() as client:
            user, deadline = client.zrange(index_keys.users, 0, -1, withscores=True)[0][1], 9e14
            for entry in (b"\xff", b"../x", b"{t}"):
                client.zadd(index_keys.users, {entry: user})
                client.zadd(index_keys.deadlines, {entry: deadline})
            await manager.allocate_session(user_id=USER)
            assert client.zcard(index_keys.users) == 3
            assert await manager.revoke_user_sessions(USER) == 2
            assert client.zcard(index_keys.users) == 0


class TestNotes:
    """The notes about the user's strays are damaged."""

    @pytest.fixture
    async def manager(self, any_server):
        async with SessionManager("test", redis.factory(any_server.url)) as manager:
            yield manager

    @pytest.mark.parametrize("score", [1.5, 1e300, float("inf"), -1])
    async def test_a_time_that_is_none_hides_no_session(self, manager, any_server, score):
        session_ids = [await manager.allocate_session(one, user_id=USER) for one in (None, STRAY)]
        with any_server.client() as client:
            client.zadd(strays.home_index().notes(ids.user_hash(USER)), {b"%02x" % strays.bucket_of(STRAY): score})
        assert set(await listed(manager, USER)) == set(references(session_ids))
        assert await manager.count_sessions(USER) == 2
        await manager.cleanup_expired_sessions()
        assert await manager.revoke_user_sessions(USER) == 2
        assert await manager.list_sessions() == []

    async def test_a_key_of_another_type_spares_no_session(self, manager, any_server):
        for session_id in (None, STRAY):
            await manager.allocate_session(session_id, user_id=USER)
        with any_server.client() as client:
            client.set(strays.home_index().notes(ids.user_hash(USER)), "not notes")
        assert await manager.revoke_user_sessions(USER) == 2
        assert await manager.list_sessions() == []
