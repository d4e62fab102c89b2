"""Concurrent calls of several processes on one session have a sequential order that explains all replies.

There are 30 histories, 1,000 with CHUK_TEST_LONG=1, or the number in CHUK_TEST_HISTORIES.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import pytest

from chuk_sessions.core import data_operations, keys, operations
from tests.equivalence.comparison import FAR_MS
from tests.harness.worlds import NOW_KEY
from tests.linearizability.checker import UNKNOWN, Event, UndecidedError, linearizable
from tests.linearizability.model import State, Wait, perform
from tests.linearizability.processes import Processes
from tests.linearizability.strategies import SANDBOX, StepGenerator, session_id
from tests.redis.tools import how_many

HISTORIES = how_many("HISTORIES", 30, 1000)
CALLS_BETWEEN_KILLS = 4
MOST_UNDECIDED = 0.02
"""The share of histories with too many lost calls to be checked. On a busy machine, more calls get lost."""


@pytest.fixture(scope="module")
def start():
    return State(time.time_ns() // 1_000_000 + FAR_MS)


@pytest.mark.parametrize(
    ("share", "retries", "kills"),
    [(0.6, 0, False), (0.2, 0, True), (0.2, 16, True)],
    ids=["undisturbed", "lost calls", "retried calls"],
)
def test_concurrent_calls_are_linearizable(any_server, start, share, retries, kills):
    overlapping = lost = undecided = 0
    with any_server.client() as client, Processes(any_server.url, retries) as processes:
        for seed in range(max(1, round(HISTORIES * share))):
            history = record_history(client, processes, StepGenerator(seed).plan(), start, kills=kills)
            try:
                assert linearizable(history, start, perform), (seed, history)
            except UndecidedError:
                undecided += 1
            overlapping += overlaps(history)
            lost += sum(event.result is UNKNOWN for event in history)
    assert overlapping > HISTORIES * share
    assert lost or not kills
    assert undecided <= max(1, HISTORIES * share * MOST_UNDECIDED)


def record_history(client, processes, plan, start, *, kills):
    """Record a history on an empty server. With `kills`, close all connections after every few calls."""
    client.flushdb()
    if start is not None:
        client.set(NOW_KEY, start.now)
    client.config_resetstat()
    processes.begin(plan)
    answered = 0
    while kills and processes.are_busy():
        now = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        if now >= answered + CALLS_BETWEEN_KILLS:
            client.client_kill_filter(_type="normal", skipme=True)
            answered = now
    return processes.history()


def overlaps(history):
    """Count the calls that began before the one before them ended."""
    ordered = sorted((event for event in history if event.result is not UNKNOWN), key=lambda event: event.began)
    return sum(later.began < earlier.ended for earlier, later in pairwise(ordered))


TARGET = keys.session_keys(SANDBOX, session_id(0))
ALLOCATE = operations.allocate(
    TARGET, SANDBOX, ttl_ms=10**6, idle_ms=0, owner=b"", user=0, cap=0, retention_ms=0, create=True
)
INCREMENT = data_operations.increment(TARGET, field=b"m:n", amount=1, ceiling=None, operation_id=b"")
DELETE = operations.delete(TARGET)
VALIDATE = operations.validate(TARGET, interval_ms=0, retention_ms=0, index=True)
CREATED = Event(ALLOCATE, 0, 1, (2,))

WRONG = {
    "a session is alive after its deletion": [CREATED, Event(DELETE, 2, 3, (1,)), Event(VALIDATE, 4, 5, (1,))],
    "an update is lost": [CREATED, Event(INCREMENT, 2, 5, (1, 1)), Event(INCREMENT, 3, 6, (1, 1))],
    "a reply precedes its call": [Event(VALIDATE, 0, 1, (1,)), Event(ALLOCATE, 2, 3, (2,))],
    "a lost call takes effect twice": [CREATED, Event(INCREMENT, 2), Event(INCREMENT, 3, 4, (1, 3))],
    "a session outlives its deadline": [CREATED, Event(Wait(10**6), 2, 3, 10**9 + 10**6), Event(VALIDATE, 4, 5, (1,))],
}
RIGHT = {
    "calls at the same time in either order": [CREATED, Event(INCREMENT, 2, 9, (1, 2)), Event(INCREMENT, 3, 8, (1, 1))],
    "a lost call that took effect": [CREATED, Event(INCREMENT, 2), Event(INCREMENT, 9, 10, (1, 2))],
    "a lost call that did not take effect": [CREATED, Event(INCREMENT, 2), Event(INCREMENT, 9, 10, (1, 1))],
    "a lost call that took effect late": [
        CREATED,
        Event(DELETE, 2),
        *(Event(INCREMENT, 9 + n, 9 + n, (1, n)) for n in (1, 2)),
    ],
}


@pytest.mark.parametrize("history", WRONG.values(), ids=WRONG)
def test_the_checker_rejects(history):
    assert not linearizable(history, State(10**9), perform)


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT)
def test_the_checker_accepts(history):
    assert linearizable(history, State(10**9), perform)


def test_the_checker_rejects_a_recorded_history_with_one_reply_changed(server, start):
    with server.client() as client, Processes(server.url, 0) as processes:
        history = record_history(client, processes, StepGenerator(0).plan(), start, kills=False)
    assert linearizable(history, start, perform)
    first, *others = history
    assert not linearizable([replace(first, result=(*first.result, "?")), *others], start, perform)
