"""Events and sessions agree: after any sequence of calls, the events of each session begin once and end at most once.

A third of the steps that `--steps N` sets are enough. The comparison of emulator and server shows that both write
the same events; this one, on the emulator, that they are the right ones.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from chuk_sessions import session_hash
from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.core import event_entries, ids, keys
from chuk_sessions.core.event_entries import EventEntry
from chuk_sessions.exceptions import SessionError
from tests.harness.events import Lifecycles
from tests.harness.worlds import EmulatorWorld

STEPS_PER_RUN = 50
BUCKET_OF_KEY = {keys.events(bucket): bucket for bucket in range(ids.BUCKETS)}
SANDBOXES = ("a", "b")
OWN_IDS = ("s1", "s2", "sess-alice-1700000001-07" + "0" * 32)
MODES = ("touch", "create", "replace")
KINDS_OF_MANAGERS = (
    {"events": True},
    {"events": True, "max_sessions_per_user": 2},
    {"events": "updates", "idle_timeout_seconds": 40},
    {"events": False},
    {"events": False, "max_sessions_per_user": 1, "idle_timeout_seconds": 40},
)

users = st.sampled_from([None, "alice", "alice", "bob"])


class Machine(RuleBasedStateMachine):
    """Managers with different settings on the same sessions."""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = EmulatorWorld(ManualClock(1_800_000_000_000))
        self.managers = [
            self.world.manager(sandbox, default_ttl_hours=0.03, retention_seconds=60, **options)
            for sandbox in SANDBOXES
            for options in KINDS_OF_MANAGERS
        ]
        self.lifecycles, self.seen = Lifecycles(), dict.fromkeys(BUCKET_OF_KEY, 0)
        self.known: list[str] = [*OWN_IDS]

    def run(self, work):
        with suppress(SessionError):
            result = self.runner.run(work)
            if isinstance(result, str):
                self.known = [*self.known[-12:], *OWN_IDS, result]

    def draw(self, data):
        return data.draw(st.sampled_from(self.managers)), data.draw(st.sampled_from(self.known))

    @rule(data=st.data(), user=users, mode=st.sampled_from(MODES), hours=st.sampled_from([None, 0.001, 0.01]))
    def allocate(self, data, user, mode, hours):
        manager, _ = self.draw(data)
        session_id = data.draw(st.sampled_from([None, None, *OWN_IDS]))
        self.run(manager.allocate_session(session_id, user, hours, mode=mode if session_id else "touch"))

    @rule(data=st.data(), user=users, grace=st.sampled_from([0, 5]))
    def rotate(self, data, user, grace):
        manager, session_id = self.draw(data)
        self.run(manager.rotate_session(session_id, user_id=user, grace_seconds=0 if user else grace))

    @rule(data=st.data())
    def change(self, data):
        manager, session_id = self.draw(data)
        self.run(
            data.draw(
                st.sampled_from([
                    lambda: manager.update_session_metadata(session_id, {"a": 1}),
                    lambda: manager.update_session_metadata(session_id, {"a": 1}, ttl_seconds=30),
                    lambda: manager.increment_session_counter(session_id, "n"),
                    lambda: manager.append_session_metadata(session_id, "list", 1),
                    lambda: manager.extend_session_ttl(session_id, 0.01),
                    lambda: manager.set_session_ttl(session_id, 0.01),
                    lambda: manager.validate_session(session_id),
                    lambda: manager.load_session(session_id),
                ])
            )()
        )  # fmt: skip

    @rule(data=st.data())
    def delete(self, data):
        manager, session_id = self.draw(data)
        self.run(
            data.draw(
                st.sampled_from([
                    lambda: manager.delete_session(session_id),
                    lambda: manager.revoke_session(session_hash(session_id)),
                    lambda: manager.revoke_session(session_hash(session_id), user_id="alice"),
                    lambda: manager.revoke_user_sessions("alice", except_session_id=session_id),
                ])
            )()
        )  # fmt: skip

    @rule(data=st.data(), everywhere=st.booleans())
    def sweep(self, data, everywhere):
        self.run(self.draw(data)[0].cleanup_expired_sessions(all_sandboxes=everywhere))

    @rule(seconds=st.sampled_from([1, 5, 30, 60, 200]), backwards=st.sampled_from([False, False, False, True]))
    def wait(self, seconds, backwards):
        self.world.clock.advance(seconds=-1 if backwards else seconds)

    @invariant()
    def the_sessions_that_have_begun_are_those_that_exist(self):
        """A session with a marked index entry exists, even if it has expired, until it is removed or swept."""
        snapshot, marked = self.world.backend.snapshot(), set()
        for key, (content, _) in snapshot.items():
            if key in BUCKET_OF_KEY:
                for fields in content[self.seen[key] :]:
                    self.lifecycles.add(BUCKET_OF_KEY[key], event_entries.parse(b"0-0", fields))
                self.seen[key] = len(content)
            elif key.endswith("/deadlines"):
                tag, sandbox, _ = key.split("/")
                bucket = BUCKET_OF_KEY[f"{tag}/events"]
                marked |= {(sandbox, ids.reference(bucket, handle)) for handle, score in content if score % 1}
        assert marked == self.lifecycles.alive

    def teardown(self):
        self.world.clock.advance(hours=1)
        self.run(self.managers[0].cleanup_expired_sessions(all_sandboxes=True))
        self.the_sessions_that_have_begun_are_those_that_exist()
        assert self.lifecycles.alive == set()
        self.runner.close()


def test_events_of_each_session_begin_once_and_end_once(pytestconfig):
    steps = pytestconfig.getoption("--steps")
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=max(1, steps // STEPS_PER_RUN // 3),
            stateful_step_count=STEPS_PER_RUN,
            deadline=None,
            print_blob=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
        ),
    )


def test_the_rules_find_a_second_beginning_and_a_second_end():
    entry = EventEntry(b"1-0", "created", None, "a", b"h" * 22, None, None, None, 1, 2, 1, 1)
    for wrong in ([entry, entry], [entry._replace(kind="ended")], [entry, *[entry._replace(kind="ended")] * 2]):
        lifecycles, failed = Lifecycles(), False
        try:
            for one in wrong:
                lifecycles.add(7, one)
        except AssertionError:
            failed = True
        assert failed
