"""Canceled calls: at whatever point, they leave the session that was there, or the one whose id was returned."""

from __future__ import annotations

import asyncio
import gc
from itertools import count

import pytest
import uvloop

from chuk_sessions import SessionManager, SessionUnavailableError
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.core import operations
from chuk_sessions.engine import cancellation
from chuk_sessions.providers.factory import Factory
from tests.harness.worlds import Meddled
from tests.redis.tools import manager_on

MOMENTS = ["before", "during", "after"]
LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


class Interrupted:
    """A backend that calls `interrupt` before, during or after its call number `at`, counted from 0.

    Attributes:
        calls: how many calls it has run.

    """

    name = "interrupted"

    def __init__(self, backend, at, moment, interrupt):
        self._backend, self._at, self._moment, self._interrupt = backend, at, moment, interrupt
        self.calls = 0

    async def run(self, call, retry_calls=None):
        number, self.calls = self.calls, self.calls + 1
        await self._maybe(number, "before")
        if (number, self._moment) == (self._at, "during"):
            asyncio.get_running_loop().call_soon(self._interrupt)
        reply = await self._backend.run(call, retry_calls)
        await self._maybe(number, "after")
        return reply

    async def aclose(self):
        """The other's owner closes it."""

    async def _maybe(self, number, moment):
        if (number, self._moment) == (self._at, moment):
            self._interrupt()
        await asyncio.sleep(0)


def manager_over(backend, **options):
    return SessionManager("test", Factory(backend, lambda: None), **options)


async def canceled_at_every_point(world, moment, prepare, work, **options):
    """Yields (what `prepare` returned, outcome of the canceled `work`), for each call of the work."""
    for at in count():
        prepared = await prepare(world.manager(**options))
        tasks = []
        backend = Interrupted(world.backend, at, moment, lambda tasks=tasks: tasks[0].cancel())
        tasks.append(asyncio.create_task(work(manager_over(backend, **options), prepared)))
        [outcome] = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*cancellation._background)
        yield prepared, outcome
        if at >= backend.calls:
            assert isinstance(outcome, str), outcome
            return


async def guest_of(manager):
    for session_id in await manager.list_sessions():
        await manager.delete_session(session_id)
    return await manager.allocate_session(custom_metadata={"cart": [1]})


async def alices_of(manager):
    await guest_of(manager)
    return [await manager.allocate_session(user_id="alice") for _ in range(2)][-1]


async def log_in(manager, session_id):
    return await manager.rotate_session(session_id, user_id="alice")


async def rotate(manager, session_id):
    return await manager.rotate_session(session_id)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_canceled_login_leaves_the_guest_or_the_session_that_was_returned(world, moment):
    outcomes = []
    async for guest, outcome in canceled_at_every_point(world, moment, guest_of, log_in):
        left = [outcome] if isinstance(outcome, str) else [guest]
        assert await world.manager().list_sessions() == left, len(outcomes)
        outcomes.append(type(outcome))
    assert outcomes[0] is asyncio.CancelledError
    assert outcomes[-1] is str


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("work", [log_in, rotate])
async def test_a_canceled_rotation_leaves_the_old_id_or_the_one_that_was_returned(world, moment, work):
    async for old, outcome in canceled_at_every_point(world, moment, alices_of, work):
        left = {one.session_id for one in await world.manager().list_user_sessions("alice")}
        assert len(left) == 2
        assert (outcome if isinstance(outcome, str) else old) in left


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_login_canceled_at_a_full_cap_leaves_the_guest_or_the_session_that_was_returned(world, moment):
    async def guest_and_alice(manager):
        guest = await guest_of(manager)
        await manager.allocate_session(user_id="alice")
        return guest

    async for guest, outcome in canceled_at_every_point(
        world, moment, guest_and_alice, log_in, max_sessions_per_user=1
    ):
        manager = world.manager()
        alices = [one.session_id for one in await manager.list_user_sessions("alice")]
        if isinstance(outcome, str):
            assert (alices, await manager.validate_session(guest)) == ([outcome], False)
        else:
            assert await manager.validate_session(guest)
            assert len(alices) <= 1


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_canceled_allocation_leaves_no_session_that_nobody_knows(world, moment):
    async def allocate(manager, _):
        return await manager.allocate_session(user_id="alice")

    async for guest, outcome in canceled_at_every_point(world, moment, guest_of, allocate):
        assert set(await world.manager().list_sessions()) == {guest} | (
            {outcome} if isinstance(outcome, str) else set()
        )


async def test_a_custom_provider_keeps_the_guest_or_the_session_that_was_returned(single):
    for at in range(5):
        manager = single.manager()
        guest = await manager.allocate_session()
        tasks = []
        backend = Interrupted(single.backend, at, "after", lambda tasks=tasks: tasks[0].cancel())
        tasks.append(asyncio.create_task(log_in(manager_over(backend), guest)))
        [outcome] = await asyncio.gather(*tasks, return_exceptions=True)
        assert await manager.validate_session(guest) is not isinstance(outcome, str)
        assert not isinstance(outcome, str) or await manager.validate_session(outcome)


LAST = 2
"""The number of the call that deletes the guest's session."""


async def test_a_cancellation_after_the_point_of_no_return_follows_at_the_next_await(world):
    guest, seen = await world.manager().allocate_session(), []
    backend = Interrupted(world.backend, LAST, "before", lambda: task.cancel("why"))

    async def handle():
        seen.append(await log_in(manager_over(backend), guest))
        await asyncio.Event().wait()

    task = asyncio.create_task(handle())
    with pytest.raises(asyncio.CancelledError, match="why"):
        await task
    assert task.cancelling() == 1
    assert await world.manager().list_sessions() == seen


async def test_a_timeout_after_the_point_of_no_return_is_withdrawn_with_its_scope(world):
    guest = await world.manager().allocate_session()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60) as scope:
        backend = Interrupted(world.backend, LAST, "before", lambda: scope.reschedule(loop.time()))
        new = await log_in(manager_over(backend), guest)
    assert asyncio.current_task().cancelling() == 0
    assert await world.manager().list_sessions() == [new]


async def test_a_timeout_before_the_point_of_no_return_is_a_timeout(world):
    guest = await world.manager().allocate_session()
    loop = asyncio.get_running_loop()

    async def log_in_in_time():
        async with asyncio.timeout(60) as scope:
            backend = Interrupted(world.backend, LAST - 1, "before", lambda: scope.reschedule(loop.time()))
            await log_in(manager_over(backend), guest)

    with pytest.raises(TimeoutError):
        await log_in_in_time()
    assert await world.manager().list_sessions() == [guest]


async def test_an_error_after_a_cancellation_is_raised_and_the_cancellation_follows():
    section, begun, canceled = cancellation.CriticalSection(), asyncio.Event(), asyncio.Event()

    async def fail():
        begun.set()
        await canceled.wait()
        raise ValueError("work")

    async def handle():
        with pytest.raises(ValueError, match="work"):
            await section.run(fail())
        await asyncio.Event().wait()

    task = asyncio.create_task(handle())
    await begun.wait()
    task.cancel()
    canceled.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_login_canceled_as_the_store_fails_leaves_one_listed_session_at_most_that_ends_at_its_deadline(world):
    async def fail(call):
        if call.operation is operations.DELETE:
            raise SessionUnavailableError("no connection")

    manager = world.manager()
    guest = await manager.allocate_session(ttl_hours=2)
    backend = Interrupted(Meddled(world.backend, fail), LAST - 1, "after", lambda: task.cancel("why"))
    task = asyncio.create_task(log_in(manager_over(backend), guest))
    with pytest.raises(asyncio.CancelledError):
        await task
    [orphan] = await manager.list_user_sessions("alice")
    assert set(await manager.list_sessions()) == {guest, orphan.session_id}
    await world.advance(hours=2)
    assert not await manager.validate_session(orphan.session_id)


@LOOPS
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("work", [log_in, rotate])
def test_a_loop_that_shuts_down_leaves_the_guest_or_the_session_that_was_returned(server, work, moment, run, caplog):
    backend = RedisBackend(server.url)
    for at in range(LAST + 1):
        tasks = []

        async def main(at=at, tasks=tasks):
            guest, reached = await manager_on(backend).allocate_session(), asyncio.Event()
            interrupted = Interrupted(backend, at, moment, reached.set)
            tasks.append(asyncio.create_task(work(manager_over(interrupted), guest)))
            await asyncio.wait([asyncio.ensure_future(reached.wait()), tasks[0]], return_when=asyncio.FIRST_COMPLETED)
            return guest

        guest = run(main())
        [task] = tasks
        left = guest if task.cancelled() else task.result()
        assert run(emptied(backend)) == [left]
    gc.collect()
    assert not caplog.records


@LOOPS
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_allocation_that_a_loops_shutdown_cancels_leaves_nothing(server, moment, run, caplog):
    backend = RedisBackend(server.url)
    tasks = []

    async def main():
        await manager_on(backend).list_sessions()
        reached = asyncio.Event()
        interrupted = Interrupted(backend, 0, moment, reached.set)
        tasks.append(asyncio.create_task(manager_over(interrupted).allocate_session(user_id="alice")))
        await reached.wait()

    run(main())
    left = [] if tasks[0].cancelled() else [tasks[0].result()]
    assert run(emptied(backend)) == left
    gc.collect()
    assert not caplog.records


async def emptied(backend):
    """The sessions there were, which have been deleted."""
    manager = manager_on(backend)
    found = await manager.list_sessions()
    for session_id in found:
        await manager.delete_session(session_id)
    await backend.aclose()
    return found
