"""revoke_grant: end one grant of a session, or all of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from chuk_sessions import SessionRotatedError
from chuk_sessions.core import data_operations, grants, keys, operations
from chuk_sessions.federation import Federation, generate_signing_key
from tests.harness.federated import pair
from tests.harness.strays import HOME, id_in


async def two_grants(manager, **options):
    session_id = await manager.allocate_session(**options)
    return session_id, [await manager.grant_session(session_id, to="other", path=path) for path in ("a", "b")]


async def test_ends_one_grant_by_its_token(single):
    manager, other = pair(single)
    session_id, (first, second) = await two_grants(manager)
    assert await manager.revoke_grant(first)
    assert await other.resolve_grant(first, "a") is None
    assert await other.resolve_grant(second, "b")
    assert not await manager.revoke_grant(first), "it has been revoked before"
    assert [grant.path for grant in await manager.list_grants(session_id)] == ["b"]


async def test_ends_one_grant_by_its_id(single):
    manager, other = pair(single)
    session_id, (first, second) = await two_grants(manager)
    jti = next(grant.jti for grant in await manager.list_grants(session_id) if grant.path == "a")
    assert await manager.revoke_grant(jti)
    assert await other.resolve_grant(first, "a") is None
    assert await other.resolve_grant(second, "b")


async def test_ends_all_grants_of_a_session(single):
    manager, other = pair(single)
    session_id, tokens = await two_grants(manager)
    neighbor, (kept, _) = await two_grants(manager)
    assert await manager.revoke_grants(session_id) == 2
    assert await manager.revoke_grants(session_id) == 0
    assert not any([await other.resolve_grant(token, path) for token, path in zip(tokens, "ab", strict=True)])
    assert await other.resolve_grant(kept, "a")
    assert await manager.validate_session(session_id)
    assert len(await manager.list_grants(neighbor)) == 2


async def test_a_session_that_does_not_exist_has_none(single):
    manager = single.manager()
    for session_id in ("sess-1700000000-00" + "0" * 32, "mine", "../x", "", None):
        assert await manager.revoke_grants(session_id) == 0


async def test_anything_else_than_a_grant_is_refused(single):
    manager = single.manager()
    for token in (None, 1, "", "x", "a.b.c", "..", "a.e30.c", "a.bnVsbA.c", "\ud800.\ud800.\ud800"):
        assert await manager.revoke_grant(token) is False


async def test_another_sandbox_cannot_revoke(single):
    manager, other = pair(single)
    session_id, (first, _) = await two_grants(manager)
    (jti, *_) = [grant.jti for grant in await manager.list_grants(session_id) if grant.path == "a"]
    assert not await other.revoke_grant(first)
    assert not await other.revoke_grant(jti)
    assert await other.resolve_grant(first, "a")


async def test_an_expired_grant_did_not_count(single):
    manager, _ = pair(single)
    session_id, (first, _) = await two_grants(manager)
    await single.advance(seconds=300)
    assert not await manager.revoke_grant(first)
    assert await manager.revoke_grants(session_id) == 0


async def test_grants_of_a_removed_key_can_be_revoked(single):
    manager, other = pair(single)
    _, (first, _) = await two_grants(manager)
    rotated = single.manager(federation=Federation(keys={"k2": generate_signing_key()}))
    assert await rotated.revoke_grant(first)
    assert await other.resolve_grant(first, "a") is None


@pytest.mark.parametrize("grace_seconds", [0, 30])
async def test_follows_rotations_after_the_grace_period(single, grace_seconds):
    manager, other = pair(single)
    session_id, (first, second) = await two_grants(manager)
    new = await manager.rotate_session(session_id, grace_seconds=grace_seconds)
    newer = await manager.rotate_session(new, grace_seconds=grace_seconds)
    await single.advance(seconds=31)
    assert await manager.revoke_grant(first)
    assert await other.resolve_grant(first, "a") is None
    assert await other.resolve_grant(second, "b")
    assert await manager.revoke_grants(newer) == 1
    assert await other.resolve_grant(second, "b") is None


async def test_the_size_of_the_session_shrinks(single):
    manager, _ = pair(single)
    session_id = await manager.allocate_session(custom_metadata={"a": 1})
    target = keys.session_keys("test", session_id)
    before = (await single.backend.run(operations.read(target)))[1]
    for _ in range(3):
        await manager.grant_session(session_id, to="other", path="x" * 100)
    assert await manager.revoke_grants(session_id) == 3
    after = (await single.backend.run(operations.read(target)))[1]
    bound = [dict(zip(flat[::2], flat[1::2], strict=True))[b"z"] for flat in (before, after)]
    assert bound[0] == bound[1]


async def test_repeated_attempts_change_nothing(single):
    manager, _ = pair(single)
    session_id, _ = await two_grants(manager)
    target = keys.session_keys("test", session_id)
    call = grants.revoke_grant(target)
    assert [grants.number(await single.backend.run(call)) for _ in range(2)] == [2, 0]
    after = await single.backend.run(operations.fetch(target))
    assert grants.number(await single.backend.run(call)) == 0
    assert await single.backend.run(operations.fetch(target)) == after


# A move to another bucket takes several calls. `delete` is the one that ends the old id.
STRAY = id_in(HOME + 1)
MOVING = {"max_sessions_per_user": 3}


async def moved(world, meanwhile):
    """Rotate a stray while `meanwhile` runs between the copy and the deletion. Return the new id."""
    done = False

    async def before(call):
        nonlocal done
        if call.operation is operations.DELETE and not done:
            done = True
            await meanwhile()

    return await world.intercepted(before, **MOVING).rotate_session(STRAY)


async def test_a_grant_that_is_revoked_while_its_session_moves_stays_revoked(world):
    manager, other = pair(world, **MOVING)
    _, (first, second) = await two_grants(manager, session_id=STRAY, user_id="alice")

    async def revoke():
        assert await manager.revoke_grant(first)

    new = await moved(world, revoke)
    assert await other.resolve_grant(first, "a") is None
    assert await other.resolve_grant(second, "b")
    assert [grant.path for grant in await manager.list_grants(new)] == ["b"]
    assert await manager.count_sessions("alice") == 1


async def test_all_grants_that_are_revoked_while_their_session_moves_stay_revoked(world):
    manager, other = pair(world, **MOVING)
    _, tokens = await two_grants(manager, session_id=STRAY, user_id="alice")

    async def revoke():
        assert await manager.revoke_grants(STRAY) == 2

    await moved(world, revoke)
    assert not any([await other.resolve_grant(token, path) for token, path in zip(tokens, "ab", strict=True)])


async def test_a_grant_that_is_given_while_its_session_moves_is_kept(world):
    manager, other = pair(world, **MOVING)
    await two_grants(manager, session_id=STRAY, user_id="alice")
    tokens = []

    async def grant():
        tokens.append(await manager.grant_session(STRAY, to="other", path="c"))

    new = await moved(world, grant)
    assert await other.resolve_grant(tokens[0], "c")
    assert sorted(grant.path for grant in await manager.list_grants(new)) == ["a", "b", "c"]


async def test_a_touch_or_a_rate_limit_does_not_repeat_the_move(world):
    manager, other = pair(world, **MOVING)
    _, (first, _) = await two_grants(manager, session_id=STRAY, user_id="alice")

    async def use():
        assert await manager.rate_limit_session(STRAY, "x", 1, 600)
        assert await manager.validate_session(STRAY)
        assert await other.resolve_grant(first, "a")

    assert await moved(world, use)
    assert await other.resolve_grant(first, "a")


@pytest.mark.parametrize("options", [{}, {"user_id": "alice", "session_id": STRAY}], ids=["rotate", "move"])
async def test_revocations_and_rotations_at_the_same_time_leave_no_grant(world, options):
    manager, other = pair(world, **(MOVING if options else {}))
    for _ in range(10):
        session_id, (first, second) = await two_grants(manager, **options)
        revoked, new, _ = await asyncio.gather(
            manager.revoke_grant(first), manager.rotate_session(session_id), manager.grant_session(session_id, to="x")
        )
        assert revoked
        assert await other.resolve_grant(first, "a") is None
        assert await other.resolve_grant(second, "b")
        with suppress(SessionRotatedError):
            assert await manager.delete_session(new)
        assert await other.resolve_grant(second, "b") is None


async def test_a_login_while_a_grant_is_given_ends_it(world):
    manager, other = pair(world)
    for _ in range(10):
        session_id = await manager.allocate_session()
        token, new = await asyncio.gather(
            manager.grant_session(session_id, to="other"), manager.rotate_session(session_id, user_id="alice")
        )
        assert new
        assert token is None or await other.resolve_grant(token, "x") is None
        assert await manager.list_grants(new) == []


async def test_a_damaged_time_of_the_last_grant_does_no_harm(single):
    manager, other = pair(single)
    session_id, (first, second) = await two_grants(manager)
    pairs = [b"p", b"x", b"z", b"y"]
    await single.backend.run(data_operations.merge(keys.session_keys("test", session_id), pairs=pairs))
    assert await manager.revoke_grant(first)
    assert await other.resolve_grant(second, "b")
