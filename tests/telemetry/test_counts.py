"""What is counted: calls by outcome, their durations, and the sessions that they end, on every backend."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from prometheus_client import CollectorRegistry

from chuk_sessions import SessionManager
from chuk_sessions.backends.memory import MemoryBackend
from chuk_sessions.core import operations
from chuk_sessions.core.operation import Call
from chuk_sessions.providers.factory import Factory
from chuk_sessions.providers.memory import MemorySession
from chuk_sessions.sync import SessionManager as SyncManager
from chuk_sessions.telemetry import FAMILIES, prometheus_collector
from chuk_sessions.telemetry.families import BOUNDS
from chuk_sessions.telemetry.outcomes import OUTCOMES
from chuk_sessions.telemetry.recorder import Recorder
from tests.harness.worlds import World
from tests.redis.tools import how_many
from tests.telemetry.tools import Metrics

USERS = how_many("USERS", 2000, 100_000)


def emulator() -> Factory[MemorySession]:
    backend = MemoryBackend()
    return Factory(backend, lambda: MemorySession(backend.strings, 3600))


async def test_calls_are_counted_by_operation_and_outcome(world: World):
    async with world.manager() as manager:
        metrics = Metrics(manager)
        session_id = await manager.allocate_session(user_id="alice")
        for _ in range(3):
            assert await manager.validate_session(session_id)
        assert await manager.delete_session(session_id)
        assert not await manager.validate_session(session_id)
        assert metrics.value("calls_total", operation="validate", outcome="ok") == 3
        assert metrics.value("calls_total", operation="validate", outcome="gone") == 1
        assert metrics.value("calls_total", operation="validate", outcome="timeout") == 0
        assert metrics.value("calls_total", operation="allocate", outcome="created") == 1
        assert metrics.value("call_duration_seconds_count", operation="validate") == 4
        seconds = metrics.value("call_duration_seconds_sum", operation="validate")
        assert seconds is not None
        assert seconds > 0


async def test_ended_sessions_are_counted_by_reason(world: World):
    async with world.manager(max_sessions_per_user=2) as manager:
        metrics = Metrics(manager)
        ids = [await manager.allocate_session(user_id="alice") for _ in range(3)]
        assert await manager.delete_session(ids[2])
        await manager.revoke_user_sessions("alice")
        await manager.allocate_session(ttl_hours=1)
        await world.advance(hours=2)
        await manager.cleanup_expired_sessions()
        found = {reason: metrics.value("sessions_ended_total", reason=reason) for reason in ("deleted", "revoked")}
        assert found == {"deleted": 1, "revoked": 1}
        assert metrics.value("sessions_ended_total", reason="evicted") == 1
        assert metrics.value("sessions_ended_total", reason="expired") == 1


async def test_nothing_is_counted_before_a_collector_exists():
    factory = emulator()
    async with SessionManager("test", factory) as manager:
        await manager.allocate_session()
        metrics = Metrics(manager)
        assert metrics.value("calls_total", operation="allocate", outcome="created") is None
        await manager.allocate_session()
        assert metrics.value("calls_total", operation="allocate", outcome="created") == 1


async def test_managers_of_one_store_share_their_counts():
    factory = emulator()
    async with SessionManager("one", factory) as one, SessionManager("two", factory) as two:
        metrics = Metrics(one, two, factory)
        await one.allocate_session()
        await two.allocate_session()
        assert metrics.value("calls_total", operation="allocate", outcome="created") == 2
        with pytest.raises(ValueError, match="Duplicated"):
            metrics.registry.register(prometheus_collector(two))


async def test_errors_are_outcomes():
    asked = asyncio.Event()

    class Failing:
        async def setex(self, key, ttl, value):
            raise OSError

        async def get(self, key):
            asked.set()
            await asyncio.sleep(3600)

        async def delete(self, key):
            raise OSError

        async def __aenter__(self):
            return self

        async def __aexit__(self, *exc_info):
            return None

    async with SessionManager("test", Failing) as manager:
        metrics = Metrics(manager)
        task = asyncio.create_task(manager.validate_session("some-id"))
        await asked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert metrics.value("calls_total", operation="validate", outcome="canceled") == 1
        assert metrics.value("call_duration_seconds_count", operation="validate") == 1


async def test_the_number_of_series_does_not_depend_on_users():
    async with SessionManager("test", emulator(), max_sessions_per_user=3) as manager:
        metrics = Metrics(manager)

        async def use(number: int) -> None:
            session_id = await manager.allocate_session(user_id=f"user-{number}", custom_metadata={"n": number})
            await manager.validate_session(session_id)
            await manager.update_session_metadata(session_id, {"n": -number})

        await use(0)
        before = metrics.series()
        await asyncio.gather(*map(use, range(1, USERS)))
        assert metrics.series() == before
        assert not any("user-" in str(series) for series in before)


def test_threads_lose_no_count():
    recorder = Recorder()
    call = Call(operations.VALIDATE, ("key",), ())

    def count() -> None:
        for _ in range(20_000):
            recorder.count(call, 1, 0.0)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sum(one.buckets) for one in recorder.durations()) == 80_000
    assert {figure.value for figure in recorder.figures() if figure.labels == ("validate", "ok")} == {80_000}


@pytest.mark.parametrize("reply", [99, [99], b"OK", ["x"], []])
def test_a_reply_that_no_script_returns_is_an_error(reply):
    recorder = Recorder()
    recorder.count(Call(operations.VALIDATE, ("key",), ()), reply, 0.0)
    assert {figure.value for figure in recorder.figures() if figure.labels == ("validate", "error")} == {1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_begins_at_zero():
    recorder = Recorder()
    recorder.count(Call(operations.VALIDATE, ("key",), ()), 1, 0.0)
    child = os.fork()
    if not child:
        os._exit(1 if recorder.durations() else 0)
    assert os.waitpid(child, 0)[1] == 0
    assert recorder.durations()


def test_every_status_is_an_outcome():
    assert sorted(OUTCOMES) == list(range(len(OUTCOMES)))
    assert list(BOUNDS) == sorted(BOUNDS)


def test_a_synchronous_manager_has_metrics():
    with SyncManager("test", emulator()) as manager:
        metrics = Metrics(manager)
        manager.allocate_session()
        assert metrics.value("calls_total", operation="allocate", outcome="created") == 1


@pytest.mark.parametrize("sources", [(), ("redis://x",), (object(),), (None,)])
def test_other_sources_are_refused(sources):
    with pytest.raises(ValueError, match=r"(?i)manager"):
        prometheus_collector(*sources)


async def test_no_label_can_be_an_id():
    assert {label for family in FAMILIES.values() for label in family.labels} == {
        "operation", "outcome", "reason", "state", "key", "role", "result", "sandbox", "reader",
    }  # fmt: skip


def test_a_collector_describes_what_it_collects():
    factory = emulator()
    collector = prometheus_collector(factory)
    registry = CollectorRegistry()
    registry.register(collector)
    described = {metric.name for metric in collector.describe()}
    assert {metric.name for metric in collector.collect()} <= described
    assert described == {f"chuk_sessions_{name}" for name in FAMILIES}
