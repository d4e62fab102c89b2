"""Counters never decrease, and one broken part does not hide the metrics of the others."""

from __future__ import annotations

import asyncio
import gc
import os

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.backends.memory import MemoryBackend
from chuk_sessions.core import operations
from chuk_sessions.core.call_hook import CallHook
from chuk_sessions.core.figures import REPORTERS, Figure
from chuk_sessions.core.operation import Call
from chuk_sessions.providers import redis
from chuk_sessions.providers.factory import Factory
from chuk_sessions.providers.memory import MemorySession
from chuk_sessions.telemetry.recorder import recorder_of, release
from chuk_sessions.telemetry.totals import Totals
from tests.harness.servers import Server
from tests.telemetry.tools import Metrics, instrumented


def emulator() -> Factory[MemorySession]:
    backend = MemoryBackend()
    return Factory(backend, lambda: MemorySession(backend.strings, 3600))


class Part:
    """A part of the library with figures."""

    def __init__(self, backend: MemoryBackend, family: str, value: float, *labels: str) -> None:
        self.backend = backend
        self.found = [Figure(family, value, labels)]
        REPORTERS.add(self)

    def figures(self) -> list[Figure]:
        return self.found


class BrokenPart(Part):
    def figures(self) -> list[Figure]:
        raise RuntimeError("dictionary changed size during iteration")


def test_counters_keep_what_closed_managers_have_counted():
    factory = emulator()
    metrics = Metrics(factory)
    stays, goes = Part(factory.backend, "cache_hits", 3), Part(factory.backend, "cache_hits", 4)
    assert metrics.value("cache_hits_total") == 7
    del goes
    gc.collect()
    assert metrics.value("cache_hits_total") == 7
    stays.found = [Figure("cache_hits", 5)]
    assert metrics.value("cache_hits_total") == 9
    del stays
    gc.collect()
    assert metrics.value("cache_hits_total") == 9


def test_a_reader_that_was_removed_is_no_label():
    factory = emulator()
    metrics = Metrics(factory)
    part = Part(factory.backend, "events_lost", 3, "mailer")
    assert metrics.value("events_lost_total", reader="mailer") == 3
    part.found = []
    assert metrics.value("events_lost_total", reader="mailer") is None
    part.found = [Figure("events_lost", 1, ("mailer",))]
    assert metrics.value("events_lost_total", reader="mailer") == 1


def test_a_removed_endpoint_does_not_decrease_the_lost_events_of_webhooks():
    factory = emulator()
    metrics = Metrics(factory)
    part = Part(factory.backend, "events_lost", 10, "webhooks")
    assert metrics.value("events_lost_total", reader="webhooks") == 10
    part.found = [Figure("events_lost", 3, ("webhooks",))]
    assert metrics.value("events_lost_total", reader="webhooks") == 10


def test_a_part_that_cannot_be_read_hides_no_others():
    factory = emulator()
    metrics = Metrics(factory)
    parts = [BrokenPart(factory.backend, "cache_hits", 1), Part(factory.backend, "cache_misses", 2)]
    assert metrics.value("cache_misses_total") == 2
    assert metrics.value("cache_hits_total") is None
    assert len(parts) == 2


def test_reconnects_of_an_event_loop_that_has_ended_are_kept(own_server: Server):
    factory = redis.factory(own_server.url)
    metrics = Metrics(factory)

    async def use(reconnect: bool) -> None:
        async with SessionManager("test", factory) as manager:
            await manager.allocate_session()
            if reconnect:
                with own_server.client() as client:
                    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await manager.allocate_session()
                assert metrics.value("reconnects_total") == 1

    asyncio.run(use(True))
    asyncio.run(use(False))
    assert metrics.value("reconnects_total") == 1


async def test_calls_to_a_store_that_is_gone_stay_in_the_metrics():
    with instrumented() as exported:
        for _ in range(3):
            async with SessionManager("test", emulator()) as manager:
                await manager.allocate_session()
            del manager
            gc.collect()
        assert exported.points("calls")["allocate", "created"] == 3
        assert exported.points("call_duration.bucket")["allocate", "+Inf"] == 3
        assert exported.points("calls")["allocate", "created"] == 3


def test_a_further_counter_keeps_the_counts():
    class Further:
        counted = 0

        def count(self, *_: object) -> None:
            self.counted += 1

        def count_ended(self, *_: object) -> None:
            pass

    hook: CallHook = MemoryBackend().call_hook
    further = Further()
    call = Call(operations.VALIDATE, ("key",), ())
    recorder = recorder_of(hook)
    recorder.count(call, 1, 0.0)
    assert recorder_of(hook, lambda _: further) is recorder
    recorder.count(call, 1, 0.0)
    assert (sum(recorder.durations()[0].buckets), further.counted) == (2, 1)
    release(hook)
    release(hook)
    assert hook.counter is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_totals_of_a_forked_child_begin_at_zero():
    backend = MemoryBackend()
    recorder_of(backend.call_hook).count(Call(operations.VALIDATE, ("key",), ()), 1, 0.0)
    totals = Totals()
    _, before = totals.read(lambda: [backend.call_hook])
    child = os.fork()
    if not child:
        os._exit(len(totals.read(lambda: [backend.call_hook])[1]))
    assert os.waitpid(child, 0)[1] == 0
    assert totals.read(lambda: [backend.call_hook])[1] == before
