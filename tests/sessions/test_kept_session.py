"""Revoking all sessions but one while that one is rotated: whatever comes between two calls of the revocation, the kept
session lives on under its new id, and no other does.
"""

from __future__ import annotations

import asyncio
from itertools import combinations

import pytest

from chuk_sessions.core import keys

USER = "alice"
CALLS = 9
"""Calls that a revocation of three sessions makes in their bucket, at most."""


class Between:
    """Does something ahead of some of the calls in one bucket, which are numbered from 1."""

    def __init__(self, bucket, steps):
        self._tag = f"{{{keys.tag(bucket)}}}"
        self._steps = steps
        self._calls = 0
        self._turn = asyncio.Lock()

    async def __call__(self, call):
        if self._tag in call.keys[0]:
            self._calls += 1
            steps = self._steps.get(self._calls, ())
            async with self._turn:
                for step in steps:
                    await step()


class Kept:
    """The session that is to be kept, under its present id."""

    def __init__(self, world, session_id):
        self._world = world
        self.session_id = session_id

    async def rotate(self):
        self.session_id = await self._world.manager().rotate_session(self.session_id, grace_seconds=60)
        assert self.session_id is not None

    async def outlive_grace(self):
        await self._world.advance(seconds=61)


async def revoke_with(world, steps, *, first=()):
    """Revoke all but one session of three, with steps in between that are methods of Kept."""
    manager = world.manager()
    made = [await manager.allocate_session(user_id=USER) for _ in range(3)]
    kept = Kept(world, made[1])
    for step in first:
        await step(kept)
    bound = {number: [step.__get__(kept) for step in some] for number, some in steps.items()}
    meddled = world.meddled(Between(keys.session_keys("test", made[1]).index_keys.bucket, bound))
    assert await meddled.revoke_user_sessions(USER, except_session_id=made[1]) == 2
    assert [model.session_id for model in await manager.list_user_sessions(USER)] == [kept.session_id]
    assert await manager.validate_session(kept.session_id)
    assert await manager.revoke_user_sessions(USER) == 1


@pytest.mark.parametrize("number", range(1, CALLS + 1))
async def test_it_is_rotated_ahead_of_any_call(world, number):
    await revoke_with(world, {number: [Kept.rotate]})


@pytest.mark.parametrize("numbers", [*combinations(range(1, CALLS + 1), 2)], ids=str)
async def test_it_is_rotated_twice(world, numbers):
    await revoke_with(world, {number: [Kept.rotate] for number in numbers})


@pytest.mark.parametrize("number", range(1, CALLS + 1))
async def test_it_is_rotated_twice_at_once(world, number):
    await revoke_with(world, {number: [Kept.rotate, Kept.rotate]})


async def test_it_is_rotated_ahead_of_every_call(world):
    await revoke_with(world, {number: [Kept.rotate] for number in range(1, 40)})


@pytest.mark.parametrize("number", range(2, CALLS + 1))
async def test_its_old_id_was_good_when_the_revocation_began_and_is_no_longer(world, number):
    await revoke_with(world, {number: [Kept.outlive_grace]}, first=[Kept.rotate])


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("of", ["old", "home"])
async def test_a_cap_moves_it_to_the_home_bucket_ahead_of_any_call(world, number, of):
    async def move():
        kept.append(await capped.rotate_session("mine", grace_seconds=60))

    manager, capped, kept = world.manager(), world.manager(max_sessions_per_user=9), ["mine"]
    others = [await manager.allocate_session(user_id=USER), await manager.allocate_session("other", user_id=USER)]
    await manager.allocate_session("mine", user_id=USER)
    bucket = keys.session_keys("test", "mine" if of == "old" else others[0]).index_keys.bucket
    meddled = world.meddled(Between(bucket, {number: [move]}))
    assert await meddled.revoke_user_sessions(USER, except_session_id="mine") == 2
    assert [model.session_id for model in await manager.list_user_sessions(USER)] == [kept[-1]]


async def test_one_that_a_cap_had_moved_before_is_kept_by_its_old_id(world):
    manager = world.manager(max_sessions_per_user=9)
    other = await manager.allocate_session(user_id=USER)
    await manager.allocate_session("mine", user_id=USER)
    kept = await manager.rotate_session("mine", grace_seconds=60)
    assert await manager.revoke_user_sessions(USER, except_session_id="mine") == 1
    assert [await manager.validate_session(session_id) for session_id in (other, kept)] == [False, True]


async def test_another_that_a_cap_moves_to_the_home_bucket_does_not_escape(world):
    async def move():
        moved.append(await manager.rotate_session("other"))

    manager, moved = world.manager(max_sessions_per_user=9), []
    await manager.allocate_session("other", user_id=USER)
    meddled = world.meddled(Between(keys.session_keys("test", "other").index_keys.bucket, {1: [move]}))
    assert await meddled.revoke_user_sessions(USER) == 1
    assert not await manager.validate_session(moved[0])


async def test_another_is_rotated_ahead_of_every_call(world):
    manager = world.manager()
    other, kept = [await manager.allocate_session(user_id=USER) for _ in range(2)]

    async def rotate():
        nonlocal other
        other = await manager.rotate_session(other, grace_seconds=60) or other

    meddled = world.meddled(
        Between(keys.session_keys("test", kept).index_keys.bucket, {number: [rotate] for number in range(1, 20)})
    )
    assert await meddled.revoke_user_sessions(USER, except_session_id=kept) == 1
    assert not await manager.validate_session(other)
    assert [model.session_id for model in await manager.list_user_sessions(USER)] == [kept]
