"""Emulator and server are equal: random operations run on both, and the test compares every reply and all keys.

`--steps N` sets the number of steps (3,000 by default). Each server given with `--server` is compared, too.
"""

from __future__ import annotations

import asyncio
import time

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.core import operations
from chuk_sessions.core.record import FIELDS
from tests.equivalence.comparison import FAR_MS, comparable, keys_on_server, remove_expired
from tests.equivalence.strategies import CallGenerator, lifetimes
from tests.harness.worlds import NOW_KEY, EmulatorWorld, ServerWorld

STEPS_PER_RUN = 50


def records_of(snapshot):
    """Return the records of sessions, without pointers."""
    return [held for held, _ in snapshot.values() if isinstance(held, dict) and b"c" in held]


def size_of(fields):
    """Compute the size of a session."""
    return sum(len(name) + len(value) for name, value in fields.items() if len(name) > 1)


def machine_on(server):
    """Return the class of a state machine for one server."""

    class Machine(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.runner = asyncio.Runner()
            clock = ManualClock(time.time_ns() // 1_000_000 + FAR_MS)
            self.emulator, self.server = EmulatorWorld(clock), ServerWorld(clock, server)
            self.client = server.client()

        @rule(data=st.data(), name=st.sampled_from([*operations.ALL, "allocate", "allocate", "validate"]))
        def operate(self, data, name):
            call = getattr(CallGenerator(data, self.server.clock.now_ms()), name)()
            if call.operation.command:
                remove_expired(self.client, self.server.clock.now_ms())
            ours, theirs = self.runner.run(self.on_both(call))
            assert comparable(call.operation, ours) == comparable(call.operation, theirs), call
            assert ours[0] in call.operation.statuses, call

        @rule(duration=lifetimes)
        def wait(self, duration):
            self.runner.run(self.server.advance(ms=duration))
            # The event of an end tells what the record holds, until that has expired.
            remove_expired(self.client, self.server.clock.now_ms())

        @invariant()
        def keyspaces_are_equal(self):
            ours = self.emulator.backend.snapshot()
            theirs = keys_on_server(self.client, self.server.clock.now_ms())
            assert ours == theirs
            assert all(size_of(fields) <= int(fields[b"z"]) for fields in records_of(ours))
            assert {name[:2] for fields in records_of(ours) for name in fields} <= FIELDS.keys()

        async def on_both(self, call):
            return await self.emulator.backend.run(call), await self.server.backend.run(call)

        def teardown(self):
            self.runner.run(self.server.close())
            self.runner.close()
            self.client.close()

    return Machine


def test_emulator_and_server_give_the_same_replies(any_server, pytestconfig):
    steps = pytestconfig.getoption("--steps")
    run_state_machine_as_test(
        machine_on(any_server),
        settings=settings(
            max_examples=max(1, steps // STEPS_PER_RUN),
            stateful_step_count=STEPS_PER_RUN,
            deadline=None,
            print_blob=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],  # shrinking on a real server takes longer than reading the steps
        ),
    )


def test_the_key_of_the_tests_clock_is_not_one_of_the_engines():
    assert not NOW_KEY.startswith("chuk1:")
