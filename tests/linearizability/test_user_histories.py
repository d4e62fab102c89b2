"""Concurrent calls of several processes on the sessions of a user can be explained, session by session: no session
survives a revocation, or is missing in a list.

There are 20 histories, 1,000 with CHUK_TEST_LONG=1, or the number in CHUK_TEST_HISTORIES.
"""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from chuk_sessions import session_hash
from tests.linearizability.checker import Event, UndecidedError
from tests.linearizability.processes import Processes
from tests.linearizability.test_histories import MOST_UNDECIDED, record_history
from tests.linearizability.user_processes import CHOSEN, PROCESSES, TASKS, UserRecorder
from tests.linearizability.users import ROTATED, UserStep, explain
from tests.redis.tools import how_many

HISTORIES = how_many("HISTORIES", 20, 1000)
A, B = CHOSEN[:2]


async def final_events(url, history):
    """Return the events of a list, and of a validation of each id, after a history."""
    recorder = UserRecorder(url, 0)
    try:
        found = [await recorder.take("list")]
        known = {one for event in history for one in (event.step.session_id, event.step.new_id) if one}
        return found + [await recorder.take("validate", session_id) for session_id in sorted(known)]
    finally:
        await recorder.close()


@pytest.mark.parametrize(
    ("share", "retries", "kills"), [(0.7, 0, False), (0.3, 16, True)], ids=["undisturbed", "retried"]
)
def test_lists_and_revocations_are_linearizable_for_each_session(any_server, share, retries, kills):
    revoked = undecided = 0
    with any_server.client() as client, Processes(any_server.url, retries, UserRecorder) as processes:
        for seed in range(max(1, round(HISTORIES * share))):
            random = Random(seed)
            plan = [[random.randrange(2**32) for _ in range(TASKS)] for _ in range(PROCESSES)]
            history = record_history(client, processes, plan, None, kills=kills)
            history += asyncio.run(final_events(any_server.url, history))
            try:
                assert explain(history, retried=kills) is None, (seed, history)
            except UndecidedError:
                undecided += 1
            revoked += sum(event.step.name == "revoke" for event in history)
    assert revoked
    assert undecided <= max(1, HISTORIES * share * MOST_UNDECIDED)


def at(began, name, session_id="", result=True, new_id="", lasts=1):
    return Event(UserStep(name, session_id, new_id), began, began + lasts, result)


def listed(*session_ids):
    return frozenset(map(session_hash, session_ids))


WRONG = {
    "a session survives a revocation": [at(0, "allocate", A), at(2, "revoke"), at(4, "validate", A)],
    "a rotated session escapes from a revocation": [
        at(0, "allocate", A), at(2, "revoke", lasts=5), at(3, "rotate", A, new_id=B), at(9, "validate", B),
    ],
    "a list leaves out a session": [at(0, "allocate", A), at(2, "list", result=listed())],
    "a list names a revoked session": [at(0, "allocate", A), at(2, "revoke"), at(4, "list", result=listed(A))],
    "a list names a copy after its move": [
        at(0, "allocate", A), at(2, "rotate", A, new_id=B), at(4, "delete", B), at(6, "list", result=listed(B)),
    ],
    "a list names an old id": [at(0, "allocate", A), at(2, "rotate", A, new_id=B), at(4, "list", result=listed(A, B))],
    "a list names a guest": [at(0, "create_guest", A), at(2, "list", result=listed(A))],
    "the old id of a live session is invalid while it is used again": [
        at(0, "allocate", A), at(2, "rotate", A, new_id=B), at(4, "allocate", A, lasts=9),
        at(7, "rotate", A, result=False),
    ],
    "an update is seen too early": [at(0, "list", result=listed(A)), at(2, "allocate", A)],
}  # fmt: skip
RIGHT = {
    "a session that is created during a revocation": [
        at(0, "revoke", lasts=5), at(1, "allocate", A), at(9, "validate", A), at(11, "list", result=listed(A)),
    ],
    "a list names both ids of a session that is moved meanwhile": [
        at(0, "allocate", A), at(2, "list", result=listed(A, B), lasts=5), at(3, "rotate", A, new_id=B),
    ],
    "two lists name a copy and the session that it will replace": [
        at(0, "allocate", A), at(2, "rotate", A, new_id=B, lasts=20), at(4, "list", result=listed(A, B), lasts=2),
        at(8, "list", result=listed(A, B), lasts=2), at(30, "list", result=listed(B)),
    ],
    "a session that is created twice during a revocation": [
        at(0, "revoke", lasts=20), at(1, "allocate", A), at(3, "validate", A), at(5, "validate", A, result=False),
        at(7, "allocate", A), at(9, "validate", A, result=False),
    ],
    "a guest logs in and is revoked": [
        at(0, "create_guest", A), at(2, "revoke"), at(4, "log_in", A, new_id=B), at(6, "list", result=listed(B)),
        at(8, "revoke"), at(10, "validate", B, result=False), at(12, "list", result=listed()),
    ],
    "an old id is invalid and then used again, by one call": [
        at(0, "allocate", A), at(2, "rotate", A, new_id=B), at(4, "revoke"), at(6, "allocate", A, lasts=9),
        at(7, "rotate", A, result=ROTATED), at(9, "rotate", A, result=False), at(11, "validate", A),
    ],
    "a chosen id is used again": [
        at(0, "allocate", A), at(2, "rotate", A, new_id=B), at(4, "revoke"), at(6, "allocate", A),
        at(8, "validate", A), at(10, "list", result=listed(A)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("history", WRONG.values(), ids=WRONG)
def test_the_model_rejects(history):
    assert explain(history) is not None


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT)
def test_the_model_accepts(history):
    assert explain(history) is None
