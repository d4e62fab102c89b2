"""The write hook: listeners hear every write in this process, with its records, before its caller gets the result."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from chuk_sessions.core import index_operations, operations
from chuk_sessions.core.keys import records_among, session_keys
from chuk_sessions.core.operation import Call, Operation
from chuk_sessions.engine import cancellation
from chuk_sessions.exceptions import SessionUnavailableError

MANY = 1200
"""So many calls that the emulator, which waits for nothing else, lets other tasks run in between."""


class Report(NamedTuple):
    """What a listener heard."""

    operation: str
    records: tuple[str, ...]


@contextmanager
def listening(world, listener=None):
    """Collect the reports of a store's write hook."""
    reports: list[Any] = []
    hook = world.backend.write_hook
    remove = hook.add(listener or (lambda records, call: reports.append(Report(call.operation.name, records))))
    try:
        yield reports
    finally:
        remove()
    assert not hook.listeners


def record_of(session_id):
    return session_keys("test", session_id).record


async def test_every_write_is_reported_with_its_record_and_reads_are_not(single):
    manager = single.manager()
    with listening(single) as reports:
        session_id = await manager.allocate_session("mine", custom_metadata={"a": 1})
        assert await manager.validate_session(session_id)
        assert await manager.load_session(session_id)
        assert await manager.get_session_metadata(session_id)
        assert await manager.update_session_metadata(session_id, {"a": 2})
        assert await manager.update_session_metadata(session_id, {"b": 1}, remove=["a"])
        assert await manager.increment_session_counter(session_id, "n", idempotency_key="once")
        assert await manager.append_session_metadata(session_id, "list", 1)
        assert await manager.rate_limit_session(session_id, "api", 1, 60)
        assert await manager.extend_session_ttl(session_id, 1)
        assert await manager.delete_session(session_id)
    written = ["allocate", "validate", "load", "set", "merge", "increment", "append", "rate_limit", "extend", "delete"]
    assert reports == [Report(name, (record_of("mine"),)) for name in written]


async def test_a_write_that_finds_no_session_is_reported_too(single):
    with listening(single) as reports:
        assert not await single.manager().validate_session("absent")
    assert reports == [Report("validate", (record_of("absent"),))]


async def test_a_rotation_reports_both_records(single):
    manager = single.manager()
    old = await manager.allocate_session()
    with listening(single) as reports:
        new = await manager.rotate_session(old, grace_seconds=60)
        assert await manager.validate_session(old)
    # The second validation follows the pointer to the new record.
    expected = [("rotate", (old, new)), ("validate", (old,)), ("validate", (new,))]
    assert reports == [Report(name, tuple(map(record_of, ids))) for name, ids in expected]


async def test_a_login_reports_the_copy_and_the_old_record(single):
    manager = single.manager()
    guest = await manager.allocate_session()
    await manager.increment_session_counter(guest, "n", idempotency_key="once")
    with listening(single) as reports:
        session_id = await manager.rotate_session(guest, user_id="alice")
    expected = [("allocate", session_id), ("carry", session_id), ("delete", guest)]
    assert reports == [Report(name, (record_of(one),)) for name, one in expected]


async def test_sessions_that_a_cap_evicts_are_reported(world):
    manager = world.manager(max_sessions_per_user=1)
    first = await manager.allocate_session(user_id="alice")
    with listening(world) as reports:
        second = await manager.allocate_session(user_id="alice")
    assert not await manager.validate_session(first)
    assert reports[-1] == Report("allocate", (record_of(second), record_of(first)))


async def test_a_sweep_reports_the_records_that_it_removes(world):
    manager = world.manager()
    created = [await manager.allocate_session(user_id="alice") for _ in range(3)]
    await world.advance(hours=25)
    with listening(world) as reports:
        assert await manager.cleanup_expired_sessions() == 3
    swept = [record for report in reports if report.operation == "sweep" for record in report.records]
    assert sorted(swept) == sorted(map(record_of, created))


async def test_a_revocation_reports_each_session(world):
    manager = world.manager()
    created = [await manager.allocate_session(user_id="alice") for _ in range(3)]
    with listening(world) as reports:
        assert await manager.revoke_user_sessions("alice") == 3
    assert sorted(reports) == sorted(Report("delete", (record_of(one),)) for one in created)


async def test_a_report_comes_before_the_caller_gets_the_result(single):
    events = []
    with listening(single, lambda records, call: events.append(("heard", records[0]))):

        async def write(number):
            session_id = await single.manager().allocate_session(f"session-{number}")
            events.append(("returned", record_of(session_id)))

        await asyncio.gather(*map(write, range(20)))
    for number in range(20):
        record = record_of(f"session-{number}")
        assert [what for what, key in events if key == record] == ["heard", "returned"]


async def test_listeners_hear_the_writes_of_another_manager(single):
    one, other = single.manager(), single.manager()
    session_id = await one.allocate_session()
    with listening(single) as reports:
        assert await other.delete_session(session_id)
    assert reports == [Report("delete", (record_of(session_id),))]


async def test_canceled_writes_are_reported_once_they_have_begun(world):
    manager, number = world.manager(), MANY
    records = [record_of(f"session-{index}") for index in range(number)]
    with listening(world) as reports:
        tasks = [asyncio.create_task(manager.validate_session(f"session-{index}")) for index in range(number)]
        # Each task begins, in this order, before this one goes on.
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert any(task.cancelled() for task in tasks)
    assert sorted(record for report in reports for record in report.records) == sorted(records)


async def test_the_undoing_of_a_canceled_allocation_is_reported(world):
    allocated: set[str] = set()
    deleted: set[str] = set()
    manager = world.manager()

    def listener(records, call):
        if call.operation is operations.ALLOCATE:
            allocated.update(records)
        else:
            deleted.update(records)

    with listening(world, listener):
        tasks = [asyncio.create_task(manager.allocate_session()) for _ in range(MANY)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*cancellation._background)
    kept = {record_of(one) for one in found if isinstance(one, str)}
    assert len(allocated) == MANY
    assert deleted
    assert deleted == allocated - kept


async def test_a_write_that_fails_is_reported(single):
    unknown = Operation("unknown", ("session",), (), frozenset())
    with listening(single) as reports, pytest.raises((KeyError, SessionUnavailableError)):
        await single.backend.run(Call(unknown, (record_of("mine"),), ()))
    assert reports == [Report("unknown", (record_of("mine"),))]


async def test_a_failing_listener_is_logged_once_and_disturbs_nobody(single, caplog):
    def fail(records, call):
        raise RuntimeError("a fault of the listener")

    manager = single.manager()
    with caplog.at_level(logging.ERROR), listening(single) as reports:
        remove = single.backend.write_hook.add(fail)
        try:
            session_id = await manager.allocate_session()
            assert await manager.validate_session(session_id)
        finally:
            remove()
    assert [report.operation for report in reports] == ["allocate", "validate"]
    assert [entry.levelname for entry in caplog.records] == ["ERROR"]
    assert "a fault of the listener" in caplog.text


async def test_a_removed_listener_hears_nothing_more(single):
    manager = single.manager()
    with listening(single) as reports:
        await manager.allocate_session()
    await manager.allocate_session()
    assert len(reports) == 1


async def test_a_listener_may_remove_itself_and_add_others(single):
    hook, heard = single.backend.write_hook, []

    def once(records, call):
        removals.pop()()
        removals.append(hook.add(lambda records, call: heard.append("second")))
        heard.append("first")

    removals = [hook.add(once)]
    manager = single.manager()
    session_id = await manager.allocate_session()
    assert await manager.validate_session(session_id)
    removals.pop()()
    assert heard == ["first", "second"]
    assert not hook.listeners


async def test_listeners_run_in_the_thread_of_the_caller(single):
    threads: dict[str, set[int]] = {}
    callers: dict[str, int] = {}

    def listener(records, call):
        threads.setdefault(records[0], set()).add(threading.get_ident())

    async def write(number):
        async with single.manager() as manager:
            for index in range(20):
                session_id = f"session-{number}-{index}"
                callers[record_of(session_id)] = threading.get_ident()
                await manager.allocate_session(session_id)
                await manager.delete_session(session_id)

    with listening(single, listener):
        workers = [threading.Thread(target=lambda number=number: asyncio.run(write(number))) for number in range(3)]
        for worker in workers:
            worker.start()
        await asyncio.gather(*[asyncio.to_thread(worker.join) for worker in workers])
    assert len(callers) == 60
    assert threads == {record: {ident} for record, ident in callers.items()}


def test_only_records_are_found_among_keys():
    for sandbox in ("test", "s", "o", "a.s"):
        targets = [session_keys(sandbox, session_id) for session_id in ("s", "o", "deadlines", "a.b")]
        index = targets[0].index_keys
        others = (*index[1:4], *[target.operations for target in targets])
        records = tuple(target.record for target in targets)
        assert records_among((*records, *others)) == records
        swept = index_operations.sweep(index, sandbox, [target.handle for target in targets[:1]])
        assert records_among(swept.keys) == (targets[0].record,)
