"""Canceled calls: at any point, they leave the session that existed before, or the one whose id they returned."""

from __future__ import annotations

import asyncio
import gc
from itertools import count

import pytest
import uvloop

from chuk_sessions import SessionManager, SessionUnavailableError, session_hash
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.core import operations
from chuk_sessions.engine import cancellation
from chuk_sessions.providers.factory import Factory
from tests.harness.references import listed, references
from tests.harness.worlds import Intercepted
from tests.redis.tools import manager_on

MOMENTS = ["before", "during", "after"]
on_each_loop = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


class Interrupted:
    """A backend that calls `interrupt` before, during or after its call number `at`, counted from 0.

    Attributes:
        calls: the number of calls so far.

    """

    name = "interrupted"

    def __init__(self, backend, at, moment, interrupt):
        self._backend, self._at, self._moment, self._interrupt = backend, at, moment, interrupt
        self.calls = 0

    async def run(self, call, retry_calls=None):
        number, self.calls = self.calls, self.calls + 1
        await self._interrupt_at(number, "before")
        if (number, self._moment) == (self._at, "during"):
            asyncio.get_running_loop().call_soon(self._interrupt)
        reply = await self._backend.run(call, retry_calls)
        await self._interrupt_at(number, "after")
        return reply

    async def aclose(self):
        """Do nothing: the owner of the wrapped backend closes it."""

    async def _interrupt_at(self, number, moment):
        if (number, self._moment) == (self._at, moment):
            self._interrupt()
        await asyncio.sleep(0)


def manager_over(backend, **options):
    return SessionManager("test", Factory(backend, lambda: None), **options)


async def canceled_at_every_point(world, moment, prepare, work, **options):
    """Yield the result of `prepare` and the outcome of the canceled `work`, for each call that the work consists of."""
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


async def create_guest(manager):
    for reference in await manager.list_sessions():
        await manager.revoke_session(reference)
    return await manager.allocate_session(custom_metadata={"cart": [1]})


async def create_sessions_of_alice(manager):
    await create_guest(manager)
    return [await manager.allocate_session(user_id="alice") for _ in range(2)][-1]


async def log_in(manager, session_id):
    return await manager.rotate_session(session_id, user_id="alice")


async def rotate(manager, session_id):
    return await manager.rotate_session(session_id)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_canceled_login_leaves_the_guest_or_the_returned_session(world, moment):
    outcomes = []
    async for guest, outcome in canceled_at_every_point(world, moment, create_guest, log_in):
        left = [outcome] if isinstance(outcome, str) else [guest]
        assert await world.manager().list_sessions() == references(left), len(outcomes)
        outcomes.append(type(outcome))
    assert outcomes[0] is asyncio.CancelledError
    assert outcomes[-1] is str


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("work", [log_in, rotate])
async def test_a_canceled_rotation_leaves_the_old_id_or_the_returned_one(world, moment, work):
    async for old, outcome in canceled_at_every_point(world, moment, create_sessions_of_alice, work):
        left = set(await listed(world.manager(), "alice"))
        assert len(left) == 2
        assert session_hash(outcome if isinstance(outcome, str) else old) in left


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_login_canceled_at_a_full_cap_leaves_the_guest_or_the_returned_session(world, moment):
    async def guest_and_alice(manager):
        guest = await create_guest(manager)
        await manager.allocate_session(user_id="alice")
        return guest

    async for guest, outcome in canceled_at_every_point(
        world, moment, guest_and_alice, log_in, max_sessions_per_user=1
    ):
        manager = world.manager()
        alices = await listed(manager, "alice")
        if isinstance(outcome, str):
            assert (alices, await manager.validate_session(guest)) == (references([outcome]), False)
        else:
            assert await manager.validate_session(guest)
            assert len(alices) <= 1


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_canceled_allocation_leaves_no_session_unknown_to_the_caller(world, moment):
    async def allocate(manager, _):
        return await manager.allocate_session(user_id="alice")

    async for guest, outcome in canceled_at_every_point(world, moment, create_guest, allocate):
        left = [guest, outcome] if isinstance(outcome, str) else [guest]
        assert set(await world.manager().list_sessions()) == set(references(left))


async def test_a_custom_provider_keeps_the_guest_or_the_returned_session(single):
    for at in range(5):
        manager = single.manager()
        guest = await manager.allocate_session()
        tasks = []
        backend = Interrupted(single.backend, at, "after", lambda tasks=tasks: tasks[0].cancel())
        tasks.append(asyncio.create_task(log_in(manager_over(backend), guest)))
        [outcome] = await asyncio.gather(*tasks, return_exceptions=True)
        assert await manager.validate_session(guest) is not isinstance(outcome, str)
        assert not isinstance(outcome, str) or await manager.validate_session(outcome)


LAST_CALL = 2
"""The number of the call of a login that deletes the guest's session."""


async def test_a_cancellation_after_the_point_of_no_return_takes_effect_at_the_next_await(world):
    guest, seen = await world.manager().allocate_session(), []
    backend = Interrupted(world.backend, LAST_CALL, "before", lambda: task.cancel("why"))

    async def handle():
        seen.append(await log_in(manager_over(backend), guest))
        await asyncio.Event().wait()

    task = asyncio.create_task(handle())
    with pytest.raises(asyncio.CancelledError, match="why"):
        await task
    assert task.cancelling() == 1
    assert await world.manager().list_sessions() == references(seen)


async def test_a_timeout_after_the_point_of_no_return_ends_with_its_scope(world):
    guest = await world.manager().allocate_session()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60) as scope:
        backend = Interrupted(world.backend, LAST_CALL, "before", lambda: scope.reschedule(loop.time()))
        new = await log_in(manager_over(backend), guest)
    assert asyncio.current_task().cancelling() == 0
    assert await world.manager().list_sessions() == references([new])


async def test_a_timeout_before_the_point_of_no_return_raises_timeout_error(world):
    guest = await world.manager().allocate_session()
    loop = asyncio.get_running_loop()

    async def log_in_in_time():
        async with asyncio.timeout(60) as scope:
            backend = Interrupted(world.backend, LAST_CALL - 1, "before", lambda: scope.reschedule(loop.time()))
            await log_in(manager_over(backend), guest)

    with pytest.raises(TimeoutError):
        await log_in_in_time()
    assert await world.manager().list_sessions() == references([guest])


async def test_an_error_after_a_cancellation_is_raised_before_the_cancellation():
    section, started, canceled = cancellation.CriticalSection(), asyncio.Event(), asyncio.Event()

    async def fail():
        started.set()
        await canceled.wait()
        raise ValueError("work")

    async def handle():
        with pytest.raises(ValueError, match="work"):
            await section.run(fail())
        await asyncio.Event().wait()

    task = asyncio.create_task(handle())
    await started.wait()
    task.cancel()
    canceled.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_login_canceled_as_the_store_fails_leaves_at_most_one_listed_session_that_expires(world):
    async def fail(call):
        if call.operation is operations.DELETE:
            raise SessionUnavailableError("no connection")

    manager = world.manager()
    guest = await manager.allocate_session(ttl_hours=2)
    backend = Interrupted(Intercepted(world.backend, fail), LAST_CALL - 1, "after", lambda: task.cancel("why"))
    task = asyncio.create_task(log_in(manager_over(backend, default_ttl_hours=2), guest))
    with pytest.raises(asyncio.CancelledError):
        await task
    [orphan] = await manager.list_user_sessions("alice")
    assert set(await manager.list_sessions()) == {session_hash(guest), orphan.reference}
    await world.advance(hours=2)
    assert await manager.list_sessions() == []


@on_each_loop
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("work", [log_in, rotate])
def test_a_loop_that_shuts_down_leaves_the_guest_or_the_returned_session(server, work, moment, run, caplog):
    backend = RedisBackend(server.url)
    for at in range(LAST_CALL + 1):
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
        assert run(delete_all(backend)) == references([left])
    gc.collect()
    assert not caplog.records


@on_each_loop
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
    assert run(delete_all(backend)) == references(left)
    gc.collect()
    assert not caplog.records


async def delete_all(backend):
    """Delete all sessions, and return their references."""
    manager = manager_on(backend)
    found = await manager.list_sessions()
    for reference in found:
        await manager.revoke_session(reference)
    await backend.aclose()
    return found
