"""Revoking all sessions but one while that one is rotated: whatever happens between two calls of the revocation, the
excepted session survives under its new id, and no other session does.
"""

from __future__ import annotations

import asyncio
from itertools import combinations

import pytest

from chuk_sessions import OutcomeUnknownError
from chuk_sessions.core import keys, operations
from tests.harness.references import listed, references

USER = "alice"
CALLS = 11
"""The most calls that a revocation of three sessions makes in their bucket."""


class StepsBetween:
    """A hook that runs steps ahead of some calls in one bucket. The calls are numbered from 1."""

    def __init__(self, bucket, steps):
        self._tag = f"{{{keys.tag(bucket)}}}"
        self._steps = steps
        self._calls = 0
        self._lock = asyncio.Lock()

    async def __call__(self, call):
        if self._tag in call.keys[0]:
            self._calls += 1
            steps = self._steps.get(self._calls, ())
            async with self._lock:
                for step in steps:
                    await step()


class Kept:
    """The excepted session with its current id."""

    def __init__(self, world, session_id):
        self._world = world
        self.session_id = session_id

    async def rotate(self):
        self.session_id = await self._world.manager().rotate_session(self.session_id, grace_seconds=60)
        assert self.session_id is not None

    async def outlive_grace(self):
        await self._world.advance(seconds=61)


async def revoke_with(world, steps, *, first=()):
    """Revoke all but one of three sessions, with `steps` (methods of Kept) ahead of the calls with these numbers."""
    manager = world.manager()
    session_ids = [await manager.allocate_session(user_id=USER) for _ in range(3)]
    kept = Kept(world, session_ids[1])
    for step in first:
        await step(kept)
    bound = {number: [step.__get__(kept) for step in some] for number, some in steps.items()}
    revoker = world.intercepted(StepsBetween(keys.session_keys("test", session_ids[1]).index_keys.bucket, bound))
    assert await revoker.revoke_user_sessions(USER, except_session_id=session_ids[1]) == 2
    assert await listed(manager, USER) == references([kept.session_id])
    assert await manager.validate_session(kept.session_id)
    assert await manager.revoke_user_sessions(USER) == 1


@pytest.mark.parametrize("number", range(1, CALLS + 1))
async def test_one_rotation_ahead_of_any_call(world, number):
    await revoke_with(world, {number: [Kept.rotate]})


@pytest.mark.parametrize("numbers", [*combinations(range(1, CALLS + 1), 2)], ids=str)
async def test_two_rotations_ahead_of_any_two_calls(world, numbers):
    await revoke_with(world, {number: [Kept.rotate] for number in numbers})


@pytest.mark.parametrize("number", range(1, CALLS + 1))
async def test_two_rotations_ahead_of_the_same_call(world, number):
    await revoke_with(world, {number: [Kept.rotate, Kept.rotate]})


async def test_a_rotation_ahead_of_every_call(world):
    await revoke_with(world, {number: [Kept.rotate] for number in range(1, 40)})


# The first two calls, of which one follows the old id, are concurrent.
@pytest.mark.parametrize("number", range(3, CALLS + 1))
async def test_the_grace_period_of_its_old_id_ends_during_the_revocation(world, number):
    await revoke_with(world, {number: [Kept.outlive_grace]}, first=[Kept.rotate])


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("bucket_of", ["old id", "user"])
async def test_a_rotation_under_a_cap_to_the_home_bucket_ahead_of_any_call(world, number, bucket_of):
    async def rotate():
        kept.append(await capped.rotate_session("mine", grace_seconds=60))

    manager, capped, kept = world.manager(), world.manager(max_sessions_per_user=9), ["mine"]
    others = [await manager.allocate_session(user_id=USER), await manager.allocate_session("other", user_id=USER)]
    await manager.allocate_session("mine", user_id=USER)
    bucket = keys.session_keys("test", "mine" if bucket_of == "old id" else others[0]).index_keys.bucket
    revoker = world.intercepted(StepsBetween(bucket, {number: [rotate]}))
    assert await revoker.revoke_user_sessions(USER, except_session_id="mine") == 2
    assert await listed(manager, USER) == references([kept[-1]])


async def test_a_session_in_its_home_bucket_is_kept_by_its_old_id(world):
    manager = world.manager(max_sessions_per_user=9)
    other = await manager.allocate_session(user_id=USER)
    await manager.allocate_session("mine", user_id=USER)
    kept = await manager.rotate_session("mine", grace_seconds=60)
    assert await manager.revoke_user_sessions(USER, except_session_id="mine") == 1
    assert [await manager.validate_session(session_id) for session_id in (other, kept)] == [False, True]


async def test_another_session_does_not_escape_to_the_home_bucket(world):
    async def rotate():
        rotated.append(await manager.rotate_session("other"))

    manager, rotated = world.manager(max_sessions_per_user=9), []
    await manager.allocate_session("other", user_id=USER)
    revoker = world.intercepted(StepsBetween(keys.session_keys("test", "other").index_keys.bucket, {1: [rotate]}))
    assert await revoker.revoke_user_sessions(USER) == 1
    assert not await manager.validate_session(rotated[0])


async def test_a_rotation_of_another_session_ahead_of_every_call(world):
    manager = world.manager()
    other, kept = [await manager.allocate_session(user_id=USER) for _ in range(2)]

    async def rotate():
        nonlocal other
        other = await manager.rotate_session(other, grace_seconds=60) or other

    revoker = world.intercepted(
        StepsBetween(keys.session_keys("test", kept).index_keys.bucket, {number: [rotate] for number in range(1, 20)})
    )
    assert await revoker.revoke_user_sessions(USER, except_session_id=kept) == 1
    assert not await manager.validate_session(other)
    assert await listed(manager, USER) == references([kept])


async def test_a_move_whose_deletion_got_lost_leaves_nothing_of_a_revoked_session(world):
    """The repeated deletion finds nothing, not even a pointer. So somebody else has deleted the session."""

    async def revoke_first(call):
        if call.operation is operations.DELETE and not call.operation.may_retry(call.argv) and not lost:
            lost.append(call)
            assert await manager.delete_session("mine")  # as a revocation that has searched the home bucket before
            raise OutcomeUnknownError("the reply was lost")

    manager, lost = world.manager(), []
    capped = world.intercepted(revoke_first, max_sessions_per_user=9)
    await manager.allocate_session("mine", user_id=USER)
    with pytest.raises(OutcomeUnknownError):
        await capped.rotate_session("mine", grace_seconds=60)
    assert lost
    assert await manager.list_user_sessions(USER) == []
