"""Custom providers: setex, get, delete and close are enough for one session at a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from chuk_sessions import (
    CorruptRecordError,
    NotSupportedError,
    ProviderError,
    SessionManager,
    SessionUnavailableError,
)
from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.core.keys import session_keys
from tests.harness.worlds import CustomWorld, DictSession


async def test_a_minimal_provider_works_with_a_manager():
    values = {}

    class Minimal:
        async def setex(self, key, ttl, value):
            values[key] = value.encode()

        async def get(self, key):
            return values.get(key)

        async def delete(self, key):
            values.pop(key, None)

        async def close(self):
            pass

    @asynccontextmanager
    async def factory():
        yield Minimal()

    manager = SessionManager("test", factory)
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"a": "\ud800é"})
    assert await manager.validate_session(session_id)
    assert (await manager.get_session_info(session_id))["custom_metadata"] == {"a": "\ud800é"}
    assert await manager.delete_session(session_id)
    assert values == {}


async def test_managers_of_one_process_lose_no_update():
    world = CustomWorld(ManualClock())
    managers = [world.manager() for _ in range(3)]
    await managers[0].allocate_session("s1")
    await asyncio.gather(*(manager.increment_session_counter("s1", "n") for manager in managers * 50))
    assert (await managers[0].get_session_info("s1"))["custom_metadata"] == {"n": 150}


class _Failing(DictSession):
    """A session that fails, or waits for ever, once it has stored a value."""

    def __init__(self, values, wait):
        super().__init__(values)
        self.wait = wait
        self.stored = asyncio.Event()

    async def setex(self, key, ttl, value):
        await super().setex(key, ttl, value)
        self.stored.set()
        if not self.wait:
            raise OSError("no route to host")
        await asyncio.Event().wait()


@pytest.mark.parametrize("wait", [False, True], ids=["failed", "canceled"])
async def test_a_write_that_failed_or_was_canceled_halfway_is_reported(wait):
    session, heard = _Failing({}, wait), []

    @asynccontextmanager
    async def factory():
        yield session

    writer, other = SessionManager("test", factory), SessionManager("test", factory)
    remove = other._backend.write_hook.add(lambda records, call: heard.extend(records))
    try:
        task = asyncio.create_task(writer.allocate_session("mine"))
        await session.stored.wait()
        if wait:
            task.cancel()
        [outcome] = await asyncio.gather(task, return_exceptions=True)
    finally:
        remove()
    assert isinstance(outcome, asyncio.CancelledError if wait else SessionUnavailableError)
    assert heard == list(session.values) == [session_keys("test", "mine").record]


async def test_an_outage_raises_a_typed_error():
    @asynccontextmanager
    async def factory():
        raise OSError("no route to host")
        yield

    with pytest.raises(ProviderError):
        await SessionManager("test", factory).validate_session("s1")


async def test_an_invalid_record_raises_a_typed_error():
    world = CustomWorld(ManualClock())
    manager = world.manager()
    await manager.allocate_session("s1")
    for garbage in ("{", "[]", "7", "[1, {}, 3]", '["x", {}]', "[1, []]", "[Infinity, {}]"):
        world.values = dict.fromkeys(world.values, garbage)
        with pytest.raises(CorruptRecordError):
            await manager.validate_session("s1")


async def test_an_invalid_record_can_be_deleted():
    world = CustomWorld(ManualClock())
    manager = world.manager()
    for session_id in (await manager.allocate_session(), await manager.allocate_session("s1")):
        world.values = dict.fromkeys(world.values, "{")
        assert await manager.delete_session(session_id)
        assert not await manager.validate_session(session_id)
    assert world.values == {}


async def test_operations_that_need_an_index_are_not_supported():
    manager = CustomWorld(ManualClock()).manager()
    for call in (
        manager.list_sessions(),
        manager.count_sessions(),
        manager.list_user_sessions("alice"),
        manager.revoke_user_sessions("alice"),
        manager.cleanup_expired_sessions(all_sandboxes=True),
    ):
        with pytest.raises(NotSupportedError):
            await call
    capped = CustomWorld(ManualClock()).manager(max_sessions_per_user=1)
    with pytest.raises(NotSupportedError):
        await capped.allocate_session(user_id="alice")


@pytest.mark.parametrize("grace_seconds", [0, 60])
async def test_a_rotation_that_a_provider_fails_to_store_keeps_the_old_session(grace_seconds):
    world = CustomWorld(ManualClock())
    manager = SessionManager("test", world.open)
    for _ in range(8):
        old = await manager.allocate_session()
        failing = SessionManager("test", _failing_after_first_change(world))
        with pytest.raises(ProviderError):
            await failing.rotate_session(old, grace_seconds=grace_seconds)
        assert await manager.validate_session(old)


def _failing_after_first_change(world):
    """Return a factory of sessions of which each makes only one change."""

    @asynccontextmanager
    async def factory():
        async with world.open() as store:
            setex, delete, changes = store.setex, store.delete, []

            def change(method):
                async def changed(*args):
                    changes.append(args)
                    if len(changes) > 1:
                        raise OSError("no route to host")
                    await method(*args)

                return changed

            store.setex, store.delete = change(setex), change(delete)
            yield store

    return factory
