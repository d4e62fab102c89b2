"""The session store of Django: keys, per-key saves, values, expiry, owners, and sessions that are gone."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.core import management
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.test import override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from chuk_sessions import CorruptRecordError, SessionLimitError, SessionUnavailableError, session_hash
from chuk_sessions.integrations.cookies import is_generated
from chuk_sessions.integrations.django import SessionStore, get_async_manager, get_manager
from chuk_sessions.integrations.django.data import session_key_of, stored_key
from chuk_sessions.providers import memory
from tests.fuzz.cases import FUZZ
from tests.integrations.django_project import Project


@pytest.fixture
def project(single):
    """Return the project with its sessions on each backend."""
    project = Project(single)
    with project.settings():
        yield project
        project.close()


@pytest.fixture
def indexed(world):
    """Return the project with its sessions on each backend that knows the sessions of a user."""
    project = Project(world)
    with project.settings():
        yield project
        project.close()


def test_the_library_chooses_the_keys_of_sessions(project):
    session = project.saved(cart=["book"])
    assert is_generated(session.session_key)
    assert project.stored(session.session_key) == {"cart": ["book"]}
    assert project.calls == ["allocate", "read"]
    assert SessionStore(session.session_key)["cart"] == ["book"]
    assert project.calls[2:] == ["load"]


def test_create_saves_an_empty_session(project):
    session = SessionStore()
    session.create()
    assert session.modified
    assert session.exists(session.session_key)
    assert SessionStore(session.session_key).load() == {}


@pytest.mark.parametrize("key", ["an-unknown-key", "x" * 5000, "bad\0key\r\n", "sess-1-2-3", "é" * 20, "{}" * 10])
def test_unknown_keys_are_dropped_and_create_nothing(project, key):
    session = SessionStore(key)
    assert session.load() == {}
    assert session.session_key is None
    assert not session.exists(key)
    unused = SessionStore(key)
    unused["a"] = 1
    unused.save()
    assert unused.session_key != key


def test_exists_and_delete_without_a_key_do_nothing(project):
    session = SessionStore()
    assert session.exists(None) is False
    assert session.exists("") is False
    session.delete()
    assert project.calls == []


def test_a_chosen_key_is_created_once(project):
    first, second = SessionStore("a-chosen-key"), SessionStore("a-chosen-key")
    first.save(must_create=True)
    with pytest.raises(CreateError):
        second.save(must_create=True)
    with pytest.raises(CreateError):
        asyncio.run(second.asave(must_create=True))
    assert second.exists("a-chosen-key")


def test_requests_that_change_different_keys_both_win(project):
    session = project.saved(cart=["book"], theme="light", old=1)
    first, second = SessionStore(session.session_key), SessionStore(session.session_key)
    first["theme"] = "dark"
    del first["old"]
    second["cart"].append("lamp")
    second["seen"] = True
    first.save()
    second.save()
    assert project.stored(session.session_key) == {"cart": ["book", "lamp"], "theme": "dark", "seen": True}


def test_a_save_without_changes_only_moves_the_deadline(project):
    session = SessionStore(project.saved(a=1).session_key)
    session["a"] = 1
    project.calls.clear()
    session.save()
    assert project.calls == ["set_ttl"]


def test_a_cleared_session_loses_all_keys(project):
    session = project.saved(a=1, b=2)
    other = SessionStore(session.session_key)
    other.clear()
    other["c"] = 3
    other.save()
    assert project.stored(session.session_key) == {"c": 3}
    session = SessionStore(session.session_key)
    session["d"] = 4
    session.save()
    assert project.stored(session.session_key) == {"c": 3, "d": 4}


def test_changes_inside_of_values_are_modifications(project):
    session = SessionStore(project.saved(cart=[{"id": 1}], name="x").session_key)
    assert not session.modified
    assert session["cart"] == [{"id": 1}]
    assert not session.modified
    session["cart"][0]["id"] = 2
    assert session.modified
    session.modified = False
    assert not session.modified
    session["cart"][0]["n"] = 1
    assert session.modified
    session.save()
    assert SessionStore(session.session_key)["cart"] == [{"id": 2, "n": 1}]


def test_values_that_cannot_be_stored_raise_the_serializers_error(project):
    session = project.saved(cart=[])
    session["cart"].append(object())
    assert session.modified
    with pytest.raises(TypeError, match="not JSON serializable"):
        session.save()
    session.modified = False


VALUES = {
    1: "an integer",
    "1": "a text",
    -1.5: "a float",
    None: None,
    False: [1, {"deep": [None]}],
    "$chuk:1": "like a stored key",
    "bytes": b"\0\xff",
    "infinity": math.inf,
    "\0": "x" * 500,
    "k" * 300: {"$chuk": 1},
}


def test_keys_and_values_come_back(project):
    session = SessionStore()
    for key, value in VALUES.items():
        session[key] = value
    session.save()
    assert SessionStore(session.session_key).load() == VALUES
    stored = project.stored(session.session_key)
    assert stored is not None
    assert stored["1"] == "a text"
    del session[1]
    session.save()
    assert SessionStore(session.session_key).load() == {key: VALUES[key] for key in VALUES if key != 1}


def test_the_serializer_stores_what_json_would_change(project):
    session = project.saved(pair=(1, 2), numbers={1: "one"})
    assert SessionStore(session.session_key).load() == {"pair": [1, 2], "numbers": {"1": "one"}}
    assert "$chuk" in json.dumps(project.stored(session.session_key))


@FUZZ
@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()))
def test_any_key_comes_back_with_its_type(key):
    found = session_key_of(stored_key(key))
    assert (type(found), found) == (type(key), key)


def test_other_keys_are_refused(project):
    session = SessionStore()
    session[(1, 2)] = 3
    with pytest.raises(TypeError, match="tuple"):
        session.save()


def test_a_session_that_cannot_be_decoded_is_empty(project, caplog):
    session = project.saved(pair=(1, 2))
    with override_settings(SESSION_SERIALIZER="tests.integrations.test_django.Refusing"):
        other = SessionStore(session.session_key)
        assert other.load() == {}
    assert other.session_key is None
    assert session_hash(session.session_key) in caplog.text
    assert session.session_key not in caplog.text


class Refusing:
    def loads(self, data):
        raise ValueError("another serializer")


def seconds_left(project, session):
    """Return the time until the deadline."""
    found = project.manager.get_session_metadata(session.session_key)
    return (timezone.datetime.fromisoformat(found.expires_at).timestamp() * 1000 - project.world.clock.now_ms()) / 1000


def test_the_deadline_follows_djangos_settings(project):
    session = project.saved(a=1)
    assert seconds_left(project, session) == settings.SESSION_COOKIE_AGE
    session.set_expiry(100)
    session.save()
    assert seconds_left(project, session) == 100
    project.advance(seconds=60)
    session.save()
    assert seconds_left(project, session) == 100
    session.set_expiry(timedelta(days=365 * 200))
    session.save()
    assert seconds_left(project, session) > 99 * 365 * 86400
    session.set_expiry(None)
    session.save()
    assert seconds_left(project, session) == settings.SESSION_COOKIE_AGE


def test_an_expired_session_is_gone(project):
    session = project.saved(a=1)
    session.set_expiry(100)
    session.save()
    project.advance(seconds=101)
    assert SessionStore(session.session_key).load() == {}
    session["a"] = 2
    with pytest.raises(UpdateError):
        session.save()


def test_a_session_that_has_expired_when_it_is_saved_expires_at_once(project):
    session = SessionStore()
    session["a"] = 1
    session.set_expiry(-10)
    session.save()
    assert session.session_key
    assert not session.exists(session.session_key)
    existing = project.saved(a=1)
    existing.set_expiry(-10)
    existing.save()
    assert not existing.exists(existing.session_key)
    with pytest.raises(UpdateError):
        existing.save()


def test_expired_sessions_are_cleared(single):
    project = Project(single)
    with project.settings():
        session = project.saved(a=1)
        session.set_expiry(10)
        session.save()
        project.advance(hours=1)
        management.call_command("clearsessions")
        asyncio.run(SessionStore.aclear_expired())
        project.close()


def test_clearsessions_removes_expired_sessions_from_the_index(indexed):
    indexed.saved(a=1).save()
    indexed.advance(hours=24 * 15)
    management.call_command("clearsessions")
    assert "sweep" in indexed.calls
    assert indexed.manager.cleanup_expired_sessions() == 0


def test_a_revoked_session_is_not_created_again(project):
    session = project.saved(a=1)
    other = SessionStore(session.session_key)
    other["b"] = 2
    project.manager.delete_session(session.session_key)
    for save in (session.save, other.save, lambda: asyncio.run(other.asave())):
        with pytest.raises(UpdateError):
            save()
    assert other.load() == {}
    assert other.session_key is None


def test_a_session_that_vanishes_before_it_is_loaded_is_not_saved(project):
    session = SessionStore("an-unknown-key")
    with pytest.raises(UpdateError):
        session.save()


def test_a_new_key_ends_the_old_one_and_keeps_all_values(project):
    session = project.saved(a=1)
    old = session.session_key
    session["b"] = [2]
    session.cycle_key()
    assert session.session_key != old
    assert not session.exists(old)
    assert project.stored(session.session_key) == {"a": 1, "b": [2]}
    assert session.modified
    new = SessionStore()
    new["c"] = 3
    new.cycle_key()
    assert project.stored(new.session_key) == {"c": 3}


def test_a_revoked_session_gets_no_new_key(project, caplog):
    session = SessionStore(project.saved(a=1).session_key)
    assert session["a"] == 1
    project.manager.delete_session(session.session_key)
    session.cycle_key()
    assert not session.exists(session.session_key)
    with pytest.raises(UpdateError):
        session.save()
    assert session.session_key not in caplog.text
    assert "was revoked or rotated" in caplog.text


def test_flush_deletes(project):
    session = project.saved(a=1)
    old = session.session_key
    session.flush()
    assert session.session_key is None
    assert not session.exists(old)
    assert session.is_empty()


async def test_asynchronous_methods_do_the_same(single):
    project = Project(single)
    with project.settings():
        session = SessionStore()
        await session.aset("a", 1)
        await session.asave()
        other = SessionStore(session.session_key)
        assert await other.aget("a") == 1
        await other.aset("b", [2])
        await other.acycle_key()
        assert not await other.aexists(session.session_key)
        assert await SessionStore(other.session_key).aload() == {"a": 1, "b": [2]}
        with pytest.raises(UpdateError):
            await session.asave()
        old = other.session_key
        await other.aflush()
        assert not await other.aexists(old)
        await other.acreate()
        await other.adelete()
        assert not await other.aexists(other.session_key)
        await asyncio.to_thread(project.close)


async def test_synchronous_methods_refuse_to_block_an_event_loop(single):
    project = Project(single)
    with project.settings():
        session = SessionStore("a-key-of-a-session")
        with pytest.raises(SynchronousOnlyOperation, match="async methods"):
            session.get("a")
        assert await session.aget("a") is None
        assert session.get("a") is None


def test_synchronous_and_asynchronous_calls_mix_across_event_loops(project):
    session = project.saved(n=0)

    async def step(number):
        other = SessionStore(session.session_key)
        assert await other.aget("n") == number
        await other.aset("n", number + 1)
        await other.asave()

    for number in range(0, 6, 2):
        asyncio.run(step(number))
        other = SessionStore(session.session_key)
        assert other["n"] == number + 1
        other["n"] += 1
        other.save()


def test_a_login_binds_the_owner_under_a_new_key(indexed):
    session = indexed.saved(cart=["book"])
    old = session.session_key
    session["_auth_user_id"] = "1"
    session.login("1")
    assert session.user_id == "1"
    assert not session.exists(old)
    session.save()
    assert SessionStore(session.session_key).user_id == "1"
    assert SessionStore(session.session_key)["cart"] == ["book"]
    assert [listed.reference for listed in indexed.manager.list_user_sessions("1")] == [session.reference]
    assert session.reference == session_hash(session.session_key)


def test_a_login_of_a_new_session_creates_it_for_the_user(indexed):
    session = SessionStore()
    session["cart"] = ["book"]
    session.login("1")
    assert indexed.calls == ["allocate"]
    assert SessionStore(session.session_key)["cart"] == ["book"]
    assert indexed.manager.count_sessions("1") == 1


def test_another_user_inherits_nothing(indexed):
    session = SessionStore()
    session.update({"cart": ["book"], "_auth_user_id": "1"})
    session.login("1")
    session = SessionStore(session.session_key)
    session.update({"_auth_user_id": "2", "cart": ["lamp"]})
    session.login("2")
    assert dict(session.items()) == {"_auth_user_id": "2"}
    session["theme"] = "dark"
    session.save()
    assert indexed.stored(session.session_key) == {"_auth_user_id": "2", "theme": "dark"}
    assert indexed.manager.count_sessions("1") == 0


def test_a_login_of_a_revoked_session_starts_without_its_values(indexed):
    session = SessionStore(indexed.saved(cart=["book"]).session_key)
    session["_auth_user_id"] = "1"
    indexed.manager.delete_session(session.session_key)
    session.cycle_key()
    session.login("1")
    session.save()
    assert indexed.stored(session.session_key) == {"_auth_user_id": "1"}


def test_other_devices_are_logged_out(indexed):
    devices = [SessionStore() for _ in range(3)]
    for session in devices:
        session.login("1")
    assert devices[0].revoke_other_sessions() == 2
    assert [session.exists(session.session_key) for session in devices] == [True, False, False]
    with pytest.raises(ValueError, match="logged in"):
        indexed.saved(a=1).revoke_other_sessions()


@pytest.mark.parametrize("when_full", ["evict", "refuse"])
def test_a_user_has_at_most_as_many_sessions_as_allowed(world, when_full):
    project = Project(world)
    with project.settings(max_sessions_per_user=1, when_full=when_full):
        first, second = project.saved(), project.saved()
        first.login("1")
        if when_full == "refuse":
            with pytest.raises(SessionLimitError):
                second.login("1")
        else:
            second.login("1")
        assert first.exists(first.session_key) == (when_full == "refuse")
        project.close()


def test_concurrent_requests_lose_no_item(project):
    session = project.saved(cart=[])

    def add(number):
        other = SessionStore(session.session_key)
        assert other.get("cart") is not None
        other.append("cart", number)
        other.increment("count")
        other.transform("sum", lambda total: total + number, 0)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(add, range(20)))
    session = SessionStore(session.session_key)
    assert sorted(session["cart"]) == list(range(20))
    assert (session["count"], session["sum"]) == (20, sum(range(20)))


def test_atomic_changes_show_in_the_session(project):
    session = SessionStore()
    session["theme"] = "dark"
    assert session.append("cart", "book", (1, 2)) is not None
    assert session["cart"] == ["book", (1, 2)]
    increment = session.increment("count", 5, ceiling=6)
    assert increment
    assert not session.increment("count", 5, ceiling=6)
    done = session.transform("cart", lambda cart: cart[:1])
    assert done.value == session["cart"] == ["book"]
    assert session.rate_limit("search", 1, 60)
    assert not session.rate_limit("search", 1, 60, burst=1)
    session.modified = False
    assert SessionStore(session.session_key).load() == {"theme": "dark", "cart": ["book"], "count": 5}
    assert not session.modified
    session.delete()
    assert session.append("cart", "lamp") is None
    assert session.transform("cart", list, []) is None
    assert session.increment("count") is None
    assert session.rate_limit("search", 1, 60) is None
    session["theme"] = "light"
    assert session.append("cart", "lamp") is None


async def test_atomic_changes_in_asynchronous_code(world):
    project = Project(world)
    with project.settings():
        session = SessionStore()
        await session.aappend("cart", "book")
        await session.aincrement("count")
        await session.atransform("cart", lambda cart: [*cart, "lamp"])
        assert await session.arate_limit("search", 1, 60)
        assert await SessionStore(session.session_key).aload() == {"cart": ["book", "lamp"], "count": 1}
        await session.alogin("1")
        assert session.user_id == "1"
        assert await session.arevoke_other_sessions() == 0
        await asyncio.to_thread(project.close)


def test_failures_of_the_store_are_errors(project):
    session = project.saved(a=1)
    project.fail(SessionUnavailableError("the store is down"))
    other = SessionStore(session.session_key)
    for method in (other.load, session.save, session.cycle_key, session.flush, lambda: other.exists("a" * 20)):
        with pytest.raises(SessionUnavailableError):
            method()
    assert isinstance(other.outage, SessionUnavailableError)
    assert other.session_key is not None
    project.work()
    assert other["a"] == 1


def test_requests_can_be_served_without_their_session(single, caplog):
    project = Project(single)
    with project.settings(serve_without_session=True):
        session = SessionStore(project.saved(a=1).session_key)
        project.fail(SessionUnavailableError("the store is down"))
        assert session.get("a") is None
        assert session.is_unavailable
        session["b"] = 2
        session.save()
        assert "changes of a session are dropped" in caplog.text
        project.work()
        session.cycle_key()
        assert session["a"] == 1
        session.save()
        assert project.stored(session.session_key) == {"a": 1, "b": 2}
        project.close()


def test_a_damaged_record_is_an_error(project):
    session = project.saved(a=1)
    project.fail(CorruptRecordError("damaged"), "load")
    with pytest.raises(CorruptRecordError):
        SessionStore(session.session_key).load()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["redis"], "must be a dict"),
        ({"provider": "postgres"}, "provider must be"),
        ({"provider": "memory", "url": "redis://localhost"}, "without a url"),
        ({"url": "nonsense"}, "CHUK_SESSIONS: "),
        ({"url": "redis://localhost", "session_factory": "chuk_sessions.providers.memory.factory"}, "excludes"),
        ({"session_factory": "no.such.factory"}, "No module named"),
        ({"sandbox_id": "a b"}, "sandbox_id"),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_malformed_settings_are_errors(value, message):
    with override_settings(CHUK_SESSIONS=value), pytest.raises(ImproperlyConfigured, match=message):
        get_manager()


def test_settings_choose_the_store(server):
    with override_settings(CHUK_SESSIONS={"url": server.url, "idle_timeout_seconds": 60}):
        assert get_manager().get_cache_stats()["provider"] == "redis"
        assert get_manager() is get_manager()
    with override_settings(CHUK_SESSIONS={"provider": "memory", "sandbox_id": "shop"}):
        assert get_manager().get_cache_stats()["provider"] == "memory"
        assert get_async_manager().sandbox_id == get_manager().sandbox_id == "shop"
    with override_settings(CHUK_SESSIONS={"session_factory": "tests.integrations.test_django.FACTORY"}):
        assert get_async_manager().session_factory is FACTORY


FACTORY = memory.factory()


def test_without_settings_the_environment_decides(server, monkeypatch):
    monkeypatch.setenv("SESSION_PROVIDER", "redis")
    monkeypatch.setenv("SESSION_REDIS_URL", server.url)
    with override_settings(CHUK_SESSIONS={}):
        assert get_manager().get_cache_stats()["provider"] == "redis"
        assert get_manager().sandbox_id == "web"
    monkeypatch.setenv("CHUK_SANDBOX_ID", "shop")
    with override_settings(CHUK_SESSIONS={}):
        session = SessionStore()
        session["a"] = 1
        session.save()
        assert get_manager().get_session_info(session.session_key)["sandbox_id"] == "shop"
        get_manager().close()


@FUZZ
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["set", "append", "remove", "save", "load"])), max_size=30)
)
def test_no_interleaving_loses_a_change(steps):
    """Each of three requests changes keys of its own."""
    with override_settings(CHUK_SESSIONS={"provider": "memory", "sandbox_id": "shop"}):
        logging.disable(logging.WARNING)
        session = SessionStore()
        session.update({f"{key}{number}": [] for number in range(3) for key in "ab"})
        session.save()
        requests = [SessionStore(session.session_key) for _ in range(3)]
        expected = dict(session.items())
        for step, (number, what) in enumerate(steps):
            request, a, b = requests[number], f"a{number}", f"b{number}"
            if what == "set":
                request[a] = step
                expected[a] = step
            elif what == "append":
                request.setdefault(b, []).append(step)
                expected[b] = [*expected.get(b, []), step]
            elif what == "remove":
                request.pop(b, None)
                expected.pop(b, None)
            else:
                request.save()
                if what == "load":
                    requests[number] = SessionStore(session.session_key)
        for request in requests:
            if request.modified:
                request.save()
        logging.disable(logging.NOTSET)
        assert SessionStore(session.session_key).load() == expected
