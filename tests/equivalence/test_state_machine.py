"""The emulator equals the server: random operations run on both, and every reply and the whole keyspace are compared.

`--steps N` makes it run about that many steps (some thousand by default), on each server given with `--server` too.
"""

from __future__ import annotations

import asyncio
import time

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.core import operations
from chuk_sessions.core.statuses import OK
from tests.equivalence.strategies import Draw, spans
from tests.harness.worlds import NOW_KEY, EmulatorWorld, ServerWorld

STEPS_A_RUN = 50
FAR_MS = 10**9
"""The clock that tests move is that far ahead of the server's own, which so never lets a key go by itself."""


def on_server(client, now):
    """Every key of a server with what it holds and when it goes (ms), but for those whose time has come."""
    found = {}
    for key in client.scan_iter(count=1000):
        if client.type(key) == b"zset":
            moment = expires_at(client, key)
            if moment is None or moment > now:
                scored = client.zrange(key, 0, -1, withscores=True)
                found[key.decode()] = [(member, int(score)) for member, score in scored], moment
        elif client.type(key) == b"hash":
            moment = expires_at(client, key)
            if moment is None or moment > now:
                found[key.decode()] = (client.hgetall(key), moment)
    return found


EXPIRES_AT = """
local latest = -1
for _ = 1, 5 do
  local time, left = redis.call('TIME'), redis.call('PTTL', KEYS[1])
  if left >= 0 then latest = math.max(latest, time[1] * 1000 + math.floor(time[2] / 1000) + left) end
end
return latest
"""


def expires_at(client, key):
    """The moment (ms) at which a key goes, or None.

    PEXPIRETIME came with Redis 7. Before, the clock goes on between TIME and PTTL, and the sum can be a ms too low.
    """
    latest = client.eval(EXPIRES_AT, 1, key)
    return None if latest < 0 else latest


def comparable(operation, reply):
    """Fields of a hash have no order."""
    if operation is operations.READ and reply[0] == OK:
        return [OK, dict(zip(reply[1][::2], reply[1][1::2], strict=True)), *reply[2:]]
    return reply


def records_of(snapshot):
    """The records of sessions, without pointers."""
    return [held for held, _ in snapshot.values() if isinstance(held, dict) and b"c" in held]


def size_of(fields):
    """The size of a session, counted."""
    return sum(len(name) + len(value) for name, value in fields.items() if len(name) > 1)


def machine_on(server):
    """The state machine class for one server."""

    class Machine(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.runner = asyncio.Runner()
            clock = ManualClock(time.time_ns() // 1_000_000 + FAR_MS)
            self.emulator, self.server = EmulatorWorld(clock), ServerWorld(clock, server)
            self.client = server.client()

        @rule(data=st.data(), name=st.sampled_from([*operations.ALL, "allocate", "allocate", "validate"]))
        def operate(self, data, name):
            call = getattr(Draw(data, self.server.clock.now_ms()), name)()
            ours, theirs = self.runner.run(self.both(call))
            assert comparable(call.operation, ours) == comparable(call.operation, theirs), call
            assert ours[0] in call.operation.statuses, call

        @rule(span=spans)
        def wait(self, span):
            self.runner.run(self.server.advance(ms=span))

        @invariant()
        def same_keyspace(self):
            ours = self.emulator.backend.snapshot()
            theirs = on_server(self.client, self.server.clock.now_ms())
            assert ours == theirs
            assert all(size_of(fields) <= int(fields[b"z"]) for fields in records_of(ours))

        async def both(self, call):
            return await self.emulator.backend.run(call), await self.server.backend.run(call)

        def teardown(self):
            self.runner.run(self.server.close())
            self.runner.close()
            self.client.close()

    return Machine


def test_emulator_and_server_give_the_same_answers(any_server, pytestconfig):
    steps = pytestconfig.getoption("--steps")
    run_state_machine_as_test(
        machine_on(any_server),
        settings=settings(
            max_examples=max(1, steps // STEPS_A_RUN),
            stateful_step_count=STEPS_A_RUN,
            deadline=None,
            print_blob=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],  # shrinking steps on a real server takes longer than reading them
        ),
    )


def test_the_clock_of_the_tests_is_a_key_apart():
    assert not NOW_KEY.startswith("chuk1:")
