"""Sessions outside of the home bucket, in forced interleavings: whatever order the calls of concurrent tasks have, a
revocation deletes every session that is alive when it begins, and every session that is left is listed.
"""

from __future__ import annotations

import asyncio
from itertools import combinations_with_replacement
from random import Random

import pytest

from chuk_sessions import CorruptRecordError, OutcomeUnknownError, SessionConflictError, SessionUnavailableError
from chuk_sessions.core import ids, index_operations, keys, note_operations
from tests.harness.references import listed
from tests.harness.schedules import Schedule
from tests.harness.strays import HOME, USER, bucket_of, id_in, note
from tests.redis.tools import how_many

SCHEDULES = how_many("SCHEDULES", 30, 3000)
CALLS_OF_A_CREATION = 3
CALLS_OF_A_REVOCATION = 7
"""The most calls that a revocation makes if the user has one session, outside of the home bucket."""

STRAY = id_in((HOME + 1) % ids.BUCKETS)
ON_NOTES = (note_operations.NOTES, note_operations.FORGET, index_operations.FIND)


class Scene:
    """Sessions of a user, and tasks that change them concurrently.

    Attributes:
        ids: the ids that each session has had, by the name of the session.

    """

    def __init__(self, world, number):
        self.world = world
        self.user = f"user-{number}"
        self.ids = {}
        self.random = Random(number)
        self.schedule = Schedule(world, self.random)

    def id_in(self, distance):
        """Return an id in the bucket that is so many buckets after the home bucket."""
        return id_in((ids.home_bucket("test", self.user) + distance) % ids.BUCKETS)

    async def create(self, name, session_id=None, user_id=None):
        """Create a session before the tasks begin."""
        self.ids[name] = [await self.world.manager().allocate_session(session_id, user_id=user_id)]

    def creation(self, name, session_id):
        """Add a task that creates a session of the user."""
        self.ids[name] = [session_id]
        self.schedule.add(lambda manager: manager.allocate_session(session_id, user_id=self.user))

    def rotation(self, name, *, login=False, **options):
        """Add a task that rotates a session."""
        old, user_id = self.ids[name][0], self.user if login else None

        async def rotate(manager):
            new = await manager.rotate_session(old, user_id=user_id, grace_seconds=0 if login else 60)
            self.ids[name] += [new] if new else []

        self.schedule.add(rotate, **options)

    def revocation(self):
        """Add a task that revokes the user's sessions."""
        alive = []

        async def look():
            alive.extend([name for name in self.ids if await self.owned(name)])

        async def check():
            assert [name for name in alive if await self.owned(name)] == []

        actor = self.schedule.add(lambda manager: manager.revoke_user_sessions(self.user))
        actor.before, actor.after = look, check
        return check

    async def owned(self, name):
        """Return the ids of a session that are valid, if it belongs to the user."""
        models = [(one, await self.world.manager().get_session_metadata(one)) for one in self.ids[name]]
        return [one for one, model in models if model is not None and model.user_id == self.user]

    async def check(self):
        """Assert that exactly the sessions that are left are listed, counted, and revoked."""
        manager = self.world.manager()
        left = [name for name in self.ids if await self.owned(name)]
        assert len(await listed(manager, self.user)) == await manager.count_sessions(self.user) == len(left)
        assert await manager.revoke_user_sessions(self.user) == len(left)
        assert [name for name in left if await self.owned(name)] == []


async def test_random_interleavings(world):
    for number in range(SCHEDULES):
        scene = Scene(world, number)
        await scene.create("stray", scene.id_in(1), scene.user)
        await scene.create("another", scene.id_in(2), scene.user)
        await scene.create("home", None, scene.user)
        await scene.create("guest")
        await scene.create("bob's", None, "bob")
        await world.advance(hours=2)
        tasks = [
            lambda: scene.creation("new", scene.id_in(1)),  # noqa: B023
            lambda: scene.creation("newer", scene.id_in(3)),  # noqa: B023
            lambda: scene.rotation("stray"),  # noqa: B023
            lambda: scene.rotation("another", max_sessions_per_user=9),  # noqa: B023
            lambda: scene.rotation("home"),  # noqa: B023
            lambda: scene.rotation("guest", login=True),  # noqa: B023
            lambda: scene.rotation("bob's", login=True),  # noqa: B023
            lambda: scene.schedule.add(lambda manager: manager.cleanup_expired_sessions(), ON_NOTES),  # noqa: B023
        ]
        for task in scene.random.sample(tasks, 3):
            task()
        check = scene.revocation()
        await scene.schedule.run()
        await check()
        await scene.check()


class Creation:
    """A task that creates a session outside of the home bucket, call by call between the calls of another task.

    The calls of the other task are numbered from 1. `places` are the numbers ahead of which this task makes its calls,
    or 0 before the other task begins. Calls with a number that the other task does not reach are not made.

    Attributes:
        user: the session's user, a new one.
        session_id: the session.

    """

    def __init__(self, world, places, of=None):
        self.user = f"user-{places}"
        self.session_id = id_in((ids.home_bucket("test", self.user) + 1) % ids.BUCKETS)
        self._places = list(places)
        self._of = of
        self._random = Random(0)
        self._calls = 0
        self._lock = asyncio.Lock()
        self._actor = Schedule(world, self._random).add(
            lambda manager: manager.allocate_session(self.session_id, user_id=self.user)
        )

    async def begin(self):
        await asyncio.sleep(0)
        await self._advance()

    async def __call__(self, call):
        if self._of is None or call.operation in self._of:
            async with self._lock:
                self._calls += 1
                await self._advance()

    async def _advance(self):
        while self._places and self._places[0] <= self._calls and self._actor.gate.waiting:
            del self._places[0]
            await self._actor.gate.take_turn(self._random)

    async def finish(self):
        """Make the remaining calls."""
        self._places = [0] * CALLS_OF_A_CREATION
        await self._advance()
        await self._actor.task

    async def die(self):
        """Stop before the next call, like a process that is killed."""
        self._actor.task.cancel()
        await asyncio.gather(self._actor.task, return_exceptions=True)


@pytest.mark.parametrize("end", [Creation.finish, Creation.die])
async def test_a_creation_in_every_interleaving_with_a_revocation(world, end):
    manager, numbers = world.manager(), range(CALLS_OF_A_REVOCATION + 2)
    for places in combinations_with_replacement(numbers, CALLS_OF_A_CREATION):
        creation = Creation(world, places)
        await creation.begin()
        was_alive = await manager.validate_session(creation.session_id)
        await world.intercepted(creation).revoke_user_sessions(creation.user)
        assert not (was_alive and await manager.validate_session(creation.session_id)), places
        await end(creation)
        is_alive = await manager.validate_session(creation.session_id)
        assert len(await listed(manager, creation.user)) == is_alive, places
        assert await manager.revoke_user_sessions(creation.user) == is_alive, places
        assert not await manager.validate_session(creation.session_id)


async def test_a_creation_in_every_interleaving_with_the_removal_of_an_old_note(world):
    manager = world.manager()
    for places in combinations_with_replacement(range(4), CALLS_OF_A_CREATION):
        creation = Creation(world, places, ON_NOTES)
        await note(world, bucket_of(creation.session_id), creation.user)
        await world.advance(hours=2)
        await creation.begin()
        await world.intercepted(creation).cleanup_expired_sessions()
        await creation.finish()
        assert len(await listed(manager, creation.user)) == 1, places
        assert await manager.revoke_user_sessions(creation.user) == 1


async def test_an_unexpected_error_in_one_bucket_is_raised_after_all_others_were_searched(world):
    class UnexpectedError(Exception):
        pass

    async def fail(call):
        if call.operation is index_operations.LIST and call.keys[0] == broken.deadlines:
            raise UnexpectedError

    manager, broken = world.manager(), keys.index("test", bucket_of(STRAY))
    others = [id_in((HOME + distance) % ids.BUCKETS) for distance in (0, 2, 3)]
    for session_id in (STRAY, *others):
        await manager.allocate_session(session_id, user_id=USER)
    with pytest.raises(UnexpectedError):
        await world.intercepted(fail).revoke_user_sessions(USER)
    assert [await manager.validate_session(session_id) for session_id in (STRAY, *others)] == [True] + [False] * 3


@pytest.mark.parametrize("error", [SessionUnavailableError("down"), CorruptRecordError("damaged")])
async def test_all_buckets_are_searched_if_the_notes_cannot_be_read(world, error):
    async def fail(call):
        if call.operation is note_operations.NOTES:
            raise error

    manager = world.manager()
    created = [
        await manager.allocate_session(session_id, user_id=USER) for session_id in (None, STRAY, id_in(HOME ^ 3))
    ]
    assert await world.intercepted(fail).revoke_user_sessions(USER) == len(created)
    with pytest.raises(type(error)):
        await world.intercepted(fail).list_user_sessions(USER)
    with pytest.raises(type(error)):
        await world.intercepted(fail).count_sessions(USER)


async def test_no_session_is_created_without_its_note(world):
    async def fail(call):
        if call.operation is note_operations.NOTE:
            raise OutcomeUnknownError("the reply was lost")

    with pytest.raises(SessionUnavailableError, match="no session was created"):
        await world.intercepted(fail).allocate_session(STRAY, user_id=USER)
    assert not await world.manager().validate_session(STRAY)


async def test_strays_that_keep_coming_end_a_revocation_with_an_error(world):
    async def create_another(call):
        nonlocal distance
        if call.operation is note_operations.NOTES:
            distance += 1
            await world.manager().allocate_session(id_in((HOME + distance) % ids.BUCKETS), user_id=USER)

    distance = 0
    with pytest.raises(SessionConflictError, match=r"; \d+ were revoked"):
        await world.intercepted(create_another).revoke_user_sessions(USER)
