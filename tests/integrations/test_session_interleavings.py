"""Random interleavings of requests to one session lose no change, and no change inside a value goes unnoticed."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chuk_sessions import SessionManager
from chuk_sessions.integrations.session import Session
from chuk_sessions.providers import memory, redis
from tests.redis.tools import how_many

RANDOM = settings(
    max_examples=how_many("CASES", 40, 5000), deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
    max_leaves=6,
)


class Store:
    """A session manager, and the event loop for its calls."""

    def __init__(self, factory):
        self.manager = SessionManager("test", factory)
        self.loop = asyncio.new_event_loop()

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def create(self, values):
        session = Session(values, manager=self.manager)
        self.run(session.append("_always", 1))
        return session.session_id

    def load(self, session_id):
        session = Session(manager=self.manager, session_id=session_id)
        self.run(session.load())
        return session

    def values(self, session_id):
        values = self.run(self.manager.get_session_metadata(session_id)).custom_metadata
        del values["_always"]
        return values


@pytest.fixture(scope="module", params=["emulator", "valkey"])
def store(request, servers):
    store = Store(memory.factory() if request.param == "emulator" else redis.factory(servers["valkey"].url))
    yield store
    store.run(store.manager.aclose())
    store.loop.close()


def change(draw, session, prefix, expected):
    """Change a key of one request at random, both in the session and in what is expected of it."""
    key = prefix + draw(st.sampled_from("abc"))
    action = draw(st.sampled_from(["set", "remove", "setdefault", "update", "nested", "nested", "read"]))
    if action == "set":
        session[key] = expected[key] = draw(VALUES)
    elif action == "remove":
        session.pop(key, None)
        expected.pop(key, None)
    elif action == "setdefault":
        default = draw(VALUES)
        expected.setdefault(key, default)
        session.setdefault(key, default)
    elif action == "update":
        new = draw(st.dictionaries(st.sampled_from([prefix + "a", prefix + "b"]), VALUES, max_size=2))
        session |= new
        expected |= new
    elif action == "nested" and key in session:
        mutate(draw, session[key])
        expected[key] = json.loads(json.dumps(session[key]))
    else:
        session.get(key)


def mutate(draw, value):
    """Change something inside a list or dict, at random depth."""
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    containers = [part for part in inner if isinstance(part, list | dict)]
    if containers and draw(st.booleans()):
        mutate(draw, draw(st.sampled_from(containers)))
    elif isinstance(value, list):
        if value and draw(st.booleans()):
            value.pop(draw(st.integers(0, len(value) - 1)))
        else:
            value.insert(draw(st.integers(0, len(value))), draw(VALUES))
    elif isinstance(value, dict):
        if value and draw(st.booleans()):
            del value[draw(st.sampled_from(sorted(value)))]
        else:
            value[draw(st.text(max_size=2))] = draw(VALUES)


@RANDOM
@given(st.data())
def test_requests_with_different_keys_never_lose_a_change(store, data):
    initial = {
        f"{number}{name}": value
        for number in (1, 2)
        for name, value in data.draw(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)).items()
    }
    session_id = store.create(initial)
    expected = json.loads(json.dumps(initial))
    sessions = {}
    for _ in range(data.draw(st.integers(2, 12))):
        prefix = data.draw(st.sampled_from("12"))
        if prefix not in sessions or data.draw(st.integers(0, 3)) == 0:
            # The request is over, and the next one of this client begins.
            if prefix in sessions:
                assert store.run(sessions[prefix].save())
            sessions[prefix] = store.load(session_id)
        elif data.draw(st.integers(0, 3)) == 0:
            assert store.run(sessions[prefix].save())
        else:
            change(data.draw, sessions[prefix], prefix, expected)
    for session in data.draw(st.permutations(list(sessions.values()))):
        assert store.run(session.save())
    assert store.values(session_id) == expected


@RANDOM
@given(st.data())
def test_a_change_inside_a_value_is_always_saved(store, data):
    session_id = store.create({"value": data.draw(VALUES)})
    for _ in range(2):
        session = store.load(session_id)
        mutate(data.draw, session["value"])
        expected = json.loads(json.dumps(session["value"]))
        assert store.run(session.save())
        assert repr(store.values(session_id)["value"]) == repr(expected)
