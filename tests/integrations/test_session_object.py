"""The session object: loading, per-key saves, logins, expiry, and sessions that other requests change meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from chuk_sessions import InvalidMetadataError, SessionManager, SessionUnavailableError, sync
from chuk_sessions.integrations.cookies import CookieChange
from chuk_sessions.integrations.session import Session, SessionOptions, SyncSession
from chuk_sessions.migration import PublishedSource, ReadThrough

DAYS_14 = 14 * 24 * 3600


async def loaded(manager, session_id, **options):
    session = Session(manager=manager, session_id=session_id, options=SessionOptions(**options))
    await session.load()
    return session


async def stored(manager, session_id):
    found = await manager.get_session_metadata(session_id)
    return None if found is None else found.custom_metadata


async def created(manager, **values):
    session = Session(values, manager=manager)
    await session.save()
    return session.session_id


def counting(world):
    """Return a manager, and the list of the operations that it calls."""
    calls = []

    async def note(call):
        calls.append(call.operation.name)

    return world.intercepted(note), calls


def failing(world):
    async def fail(call):
        raise SessionUnavailableError("the store is down")

    return world.intercepted(fail)


async def test_nothing_is_sent_for_a_request_without_a_cookie_that_writes_nothing(single):
    manager, calls = counting(single)
    session = Session(manager=manager)
    await session.load()
    assert "cart" not in session
    assert session.is_new
    assert await session.save()
    assert calls == []
    assert session.cookie is None


async def test_a_session_is_created_with_its_first_value(single):
    manager, calls = counting(single)
    session = Session(manager=manager)
    session["cart"] = ["book"]
    assert await session.save()
    assert calls == ["allocate"]
    assert session.cookie == CookieChange(session.session_id, DAYS_14)
    assert await stored(manager, session.session_id) == {"cart": ["book"]}
    again = await loaded(manager, session.session_id)
    assert again == {"cart": ["book"]}
    assert again.cookie is None
    assert not again.is_new


async def test_loading_is_one_call_and_reading_writes_nothing(single):
    session_id = await created(single.manager(), cart=["book"], theme="dark")
    manager, calls = counting(single)
    session = await loaded(manager, session_id)
    assert session["cart"] == ["book"]
    session["theme"] = "dark"
    assert await session.save()
    assert calls == ["load"]
    assert session.accessed
    assert session.cookie is None


async def test_two_requests_that_change_different_keys_both_win(single):
    manager = single.manager()
    session_id = await created(manager, a=1, b=[1], c=1)
    first, second = await loaded(manager, session_id), await loaded(manager, session_id)
    first["a"] = 2
    second["b"].append(2)
    del second["c"]
    assert await second.save()
    assert await first.save()
    assert await stored(manager, session_id) == {"a": 2, "b": [1, 2]}


async def test_changes_inside_values_are_saved_without_a_flag(single):
    manager = single.manager()
    session_id = await created(manager, cart={"items": [{"id": 1}]}, other=[1])
    session = await loaded(manager, session_id)
    session["cart"]["items"][0]["id"] = 2
    assert not session.modified
    assert session.unsaved()
    assert await session.save()
    assert not session.unsaved()
    assert await stored(manager, session_id) == {"cart": {"items": [{"id": 2}]}, "other": [1]}


@pytest.mark.parametrize(
    "read",
    [
        lambda session: dict(session)["cart"],
        lambda session: {**session}["cart"],
        lambda session: session.copy()["cart"],
        lambda session: (session | {})["cart"],
        lambda session: ({} | session)["cart"],
        lambda session: next(iter(session.values())),
        lambda session: next(iter(session.items()))[1],
        lambda session: session.get("cart"),
        lambda session: session.setdefault("cart", []),
        lambda session: session.pop("missing", session["cart"]),
    ],
)
async def test_each_way_to_read_a_value_counts_as_an_access(world, read):
    manager = world.manager()
    session = await loaded(manager, await created(manager, cart=[]))
    assert not session.accessed
    read(session).append("book")
    assert session.accessed
    assert await session.save()
    assert await stored(manager, session.session_id) == {"cart": ["book"]}


async def test_to_remove_a_missing_key_is_an_access_in_a_request(single):
    session = Session(manager=single.manager())
    assert session.pop("message", None) is None
    assert session.accessed
    assert not session.modified


def test_a_session_is_encoded_as_a_dict():
    session = Session({"a": [1], "b": None})
    assert json.dumps(session) == '{"a": [1], "b": null}'
    assert session.accessed
    assert repr(session) == "{'a': [1], 'b': None}"


async def test_later_saves_write_later_changes_only(single):
    session_id = await created(single.manager(), a=1, b=1)
    manager, calls = counting(single)
    session = await loaded(manager, session_id)
    session["a"] = 2
    await session.save()
    await manager.update_session_metadata(session_id, {"a": 3})
    calls.clear()
    session["b"] = 2
    await session.save()
    assert len(calls) == 1
    assert await stored(manager, session_id) == {"a": 3, "b": 2}


async def test_a_change_during_a_save_is_left_for_the_next_one(single):
    session_id = await created(single.manager(), cart=[])
    session = Session()

    async def change(call):
        if call.operation.name in ("set", "merge"):
            session["cart"].append("lamp")

    manager = single.intercepted(change)
    session = await loaded(manager, session_id)
    session["cart"].append("book")
    assert await session.save()
    assert session.unsaved()
    session._manager = single.manager()
    assert await session.save()
    assert await stored(single.manager(), session_id) == {"cart": ["book", "lamp"]}


async def test_a_revoked_session_is_not_revived(single, caplog):
    manager = single.manager()
    session_id = await created(manager, a=1)
    session = await loaded(manager, session_id)
    await manager.delete_session(session_id)
    session["a"] = "secret value"
    reference = session.reference
    with caplog.at_level(logging.WARNING):
        assert not await session.save()
    assert reference in caplog.text
    assert session_id not in caplog.text
    assert "secret value" not in caplog.text
    assert session.cookie == CookieChange(None)
    assert session == {}
    assert session.is_new
    assert await stored(manager, session_id) is None


async def test_a_login_binds_the_user_under_a_new_id(single):
    manager = single.manager()
    guest = await created(manager, cart=["book"], _csrf="secret of the guest")
    session = await loaded(manager, guest)
    session["seen"] = 1
    await session.login("alice")
    assert session.user_id == "alice"
    assert session.session_id != guest
    await session.save()
    assert session.cookie == CookieChange(session.session_id, DAYS_14)
    assert await stored(manager, guest) is None
    found = await manager.get_session_metadata(session.session_id)
    assert (found.user_id, found.custom_metadata) == ("alice", {"cart": ["book"], "seen": 1})


async def test_a_login_without_a_session_creates_one(single):
    manager, calls = counting(single)
    session = Session({"seen": 1}, manager=manager)
    await session.login("alice")
    await session.save()
    assert calls == ["allocate"]
    assert (await loaded(manager, session.session_id)).user_id == "alice"
    assert await stored(manager, session.session_id) == {"seen": 1}


async def test_another_user_inherits_nothing(single):
    manager = single.manager()
    session = Session({"cart": ["hers"]}, manager=manager)
    await session.login("alice")
    session = await loaded(manager, session.session_id)
    session["more"] = "hers"
    await session.login("bob")
    assert session == {}
    session["his"] = 1
    await session.save()
    assert await stored(manager, session.session_id) == {"his": 1}


async def test_a_cleared_session_can_log_in(single):
    manager = single.manager()
    session = await loaded(manager, await created(manager, cart=["of the guest"]))
    session.clear()
    await session.login("alice")
    await session.save()
    assert session.user_id == "alice"
    assert await stored(manager, session.session_id) == {}


async def test_a_login_whose_session_was_revoked_starts_an_empty_one(single):
    manager = single.manager()
    session = await loaded(manager, await created(manager, cart=["of somebody"]))
    await manager.delete_session(session.session_id)
    await session.login("alice", expires_in=60)
    await session.save()
    found = await manager.get_session_metadata(session.session_id)
    assert (found.user_id, found.custom_metadata) == ("alice", {"_expiry": 60})
    assert session.cookie == CookieChange(session.session_id, 60)


async def test_a_logout_deletes_session_and_cookie(single):
    manager = single.manager()
    session = await loaded(manager, await created(manager, a=1))
    session_id = session.session_id
    await session.logout()
    assert session == {}
    assert await session.save()
    assert session.cookie == CookieChange(None)
    assert await stored(manager, session_id) is None


async def test_values_after_a_logout_start_a_new_session(single):
    manager = single.manager()
    old = await created(manager, a=1)
    session = await loaded(manager, old)
    await session.logout()
    session["message"] = "bye"
    await session.save()
    assert session.session_id not in (None, old)
    assert session.cookie == CookieChange(session.session_id, DAYS_14)


async def test_a_logout_needs_no_load(single):
    session_id = await created(single.manager(), a=1)
    manager, calls = counting(single)
    session = Session(manager=manager, session_id=session_id)
    await session.logout()
    assert calls == ["delete"]
    assert session.cookie == CookieChange(None)


async def test_clearing_deletes_the_session_unless_values_follow(single):
    manager = single.manager()
    session_id = await created(manager, a=1, b=1)
    session = await loaded(manager, session_id)
    session.clear()
    session["b"] = 1
    await session.save()
    assert await stored(manager, session_id) == {"b": 1}
    session = await loaded(manager, session_id)
    session.clear()
    await session.save()
    assert session.cookie == CookieChange(None)
    assert await stored(manager, session_id) is None


async def test_removing_the_last_key_keeps_the_session_for_other_requests(single):
    manager = single.manager()
    session_id = await created(manager, a=1)
    first, second = await loaded(manager, session_id), await loaded(manager, session_id)
    first.pop("a")
    second["b"] = 1
    await first.save()
    await second.save()
    assert await stored(manager, session_id) == {"b": 1}


async def test_rotation_gives_a_new_id_with_a_cookie(single):
    manager = single.manager()
    old = await created(manager, a=1)
    session = await loaded(manager, old)
    assert await session.rotate()
    assert session.session_id != old
    assert session.cookie.value == session.session_id
    assert DAYS_14 - 5 <= session.cookie.max_age <= DAYS_14
    assert await stored(manager, old) is None
    assert await stored(manager, session.session_id) == {"a": 1}


async def test_concurrent_requests_may_use_the_old_id_during_the_grace_period(single):
    manager = single.manager()
    old = await created(manager, a=1)
    first, second = await loaded(manager, old), await loaded(manager, old)
    assert await first.rotate(grace_seconds=10)
    assert not await second.rotate()
    second["b"] = 1
    assert await second.save()
    assert second.cookie is None
    assert await stored(manager, first.session_id) == {"a": 1, "b": 1}


async def test_a_rotation_without_grace_period_drops_later_changes_of_others(single):
    manager = single.manager()
    old = await created(manager, a=1)
    first, second = await loaded(manager, old), await loaded(manager, old)
    await first.rotate()
    second["b"] = 1
    assert not await second.save()
    assert await stored(manager, first.session_id) == {"a": 1}


async def test_new_sessions_have_no_id_to_rotate(single):
    session = Session(manager=single.manager())
    assert not await session.rotate()


async def test_other_devices_can_be_logged_out(world):
    manager = world.manager()
    sessions = [Session(manager=manager) for _ in range(3)]
    for session in sessions:
        await session.login("alice")
    assert await sessions[0].revoke_other_sessions() == 2
    assert [await manager.validate_session(session.session_id) for session in sessions] == [True, False, False]
    with pytest.raises(ValueError, match="logged in"):
        await Session(manager=manager).revoke_other_sessions()


async def lifetime(manager, session_id):
    """Return the seconds until the deadline, rounded."""
    await manager.validate_session(session_id)
    found = Session(manager=manager, session_id=session_id)
    await found.load()
    return round(found._remaining())


async def test_a_change_moves_the_deadline(world):
    manager = world.manager()
    session_id = await created(manager, a=1)
    await world.advance(hours=24)
    session = await loaded(manager, session_id)
    session["a"] = 2
    await session.save()
    assert session.cookie == CookieChange(session_id, DAYS_14)
    assert await lifetime(manager, session_id) == DAYS_14


@pytest.mark.parametrize(("refresh", "moves"), [("on_change", False), ("on_request", True), ("never", False)])
async def test_reading_moves_the_deadline_if_wanted(world, refresh, moves):
    manager = world.manager()
    session_id = await created(manager, a=1)
    await world.advance(hours=24)
    session = await loaded(manager, session_id, refresh=refresh)
    assert await session.save()
    assert (session.cookie is not None) is moves
    assert await lifetime(manager, session_id) == DAYS_14 - (0 if moves else 24 * 3600)


async def test_the_deadline_can_be_absolute(world):
    manager = world.manager()
    session_id = await created(manager, a=1)
    await world.advance(hours=24)
    session = await loaded(manager, session_id, refresh="never")
    session["a"] = 2
    assert await session.save()
    assert session.cookie is None
    assert await lifetime(manager, session_id) == DAYS_14 - 24 * 3600


@pytest.mark.parametrize("expires_in", [600, timedelta(minutes=10), 600.0])
async def test_a_session_may_have_a_lifetime_of_its_own(world, expires_in):
    manager = world.manager()
    session = await loaded(manager, await created(manager, a=1))
    session.set_expiry(expires_in)
    await session.save()
    assert session.cookie == CookieChange(session.session_id, 600)
    await world.advance(seconds=300)
    session = await loaded(manager, session.session_id)
    session["a"] = 2
    await session.save()
    assert await lifetime(manager, session.session_id) == 600
    session.set_expiry(None)
    await session.save()
    assert await lifetime(manager, session.session_id) == DAYS_14


@pytest.mark.parametrize("expires_in", [float("nan"), float("inf"), "60", True, 1e12])
def test_a_malformed_lifetime_is_refused(expires_in):
    with pytest.raises(ValueError, match="lifetime"):
        Session().set_expiry(expires_in)
    assert Session({"_expiry": expires_in}, options=SessionOptions(max_age=7))._ttl() == 7


async def test_a_session_that_expires_at_once_is_deleted(world):
    manager = world.manager()
    session = await loaded(manager, await created(manager, a=1))
    session_id = session.session_id
    session.set_expiry(-1)
    await session.save()
    assert session.cookie == CookieChange(None)
    assert await stored(manager, session_id) is None


@pytest.mark.parametrize("max_age", [0, -1])
async def test_sessions_without_a_lifetime_are_not_stored(single, max_age):
    manager, calls = counting(single)
    session = Session({"a": 1}, manager=manager, options=SessionOptions(max_age=max_age))
    assert await session.save()
    assert session.cookie == CookieChange(None, max_age)
    assert calls == []


async def test_without_max_age_the_cookie_lasts_until_the_browser_closes(world):
    manager = world.manager(default_ttl_hours=2)
    session = Session({"a": 1}, manager=manager, options=SessionOptions(max_age=None))
    await session.save()
    assert session.cookie == CookieChange(session.session_id, None)
    assert await lifetime(manager, session.session_id) == 7200


def test_options_are_checked():
    for bad in (float("nan"), "1", True, 1e12):
        with pytest.raises(ValueError, match="max_age"):
            SessionOptions(max_age=bad)
    with pytest.raises(ValueError, match="refresh"):
        SessionOptions(refresh="always")


async def test_an_unloaded_session_cannot_be_used(single):
    manager = single.manager()
    session = Session(manager=manager, session_id=await created(manager, a=1))
    for use in (
        lambda: session["a"],
        lambda: session.setdefault("a"),
        lambda: session.pop("a", None),
        lambda: session.update(a=2),
        lambda: "a" in session,
        lambda: bool(session),
        lambda: session == {},
        lambda: session.user_id,
    ):
        with pytest.raises(RuntimeError, match="not loaded"):
            use()
    assert repr(session) == "{}"
    assert await session.save()
    await asyncio.gather(session.load(), session.load())
    session["a"] = 2
    await session.load()
    assert session["a"] == 2


async def test_an_outage_is_an_error_and_changes_nothing(single):
    manager = single.manager()
    session_id = await created(manager, a=1)
    session = Session(manager=failing(single), session_id=session_id)
    with pytest.raises(SessionUnavailableError):
        await session.load()
    assert not session.is_loaded
    with pytest.raises(SessionUnavailableError):
        await session.logout()
    assert session.cookie is None


async def test_a_session_can_be_served_empty_after_an_outage(single, caplog):
    manager = single.manager()
    session_id = await created(manager, a=1)
    session = Session(manager=failing(single), session_id=session_id)
    session.serve_without()
    assert session == {}
    assert await session.save()
    session["b"] = 1
    assert not await session.save()
    assert "dropped" in caplog.text
    assert session.cookie is None
    # Once the store is back, a login loads the session first, so that nothing is lost.
    session._manager = manager
    await session.login("alice")
    assert session == {"a": 1}


async def test_no_new_id_is_given_out_when_the_response_has_begun(single):
    manager, calls = counting(single)
    session = Session(manager=manager)
    session.seal()
    session["a"] = 1
    assert session.unsaved()
    for late in (session.save, lambda: session.login("alice"), session.rotate):
        with pytest.raises(RuntimeError, match="response has begun"):
            await late()
    assert calls == []


async def test_changes_of_a_stored_session_can_be_saved_when_the_response_has_begun(single):
    manager = single.manager()
    session = await loaded(manager, await created(manager, a=1))
    session.seal()
    session["a"] = 2
    assert await session.save()
    await manager.delete_session(session.session_id)
    session["a"] = 3
    assert not await session.save()
    session["a"] = 4
    assert not await session.save()


async def test_a_value_that_json_would_change_is_refused(single):
    session = Session({"a": (1, 2)}, manager=single.manager())
    assert session.unsaved()
    with pytest.raises(InvalidMetadataError, match="tuple"):
        await session.save()


async def test_concurrent_requests_lose_no_item_of_a_list(single):
    manager = single.manager()
    session_id = await created(manager, a=1)

    async def add(number):
        session = await loaded(manager, session_id)
        await session.append("cart", number)
        await session.transform("other", lambda cart: [*cart, number], [])
        await session.increment("count")

    await asyncio.gather(*map(add, range(20)))
    values = await stored(manager, session_id)
    assert sorted(values["cart"]) == sorted(values["other"]) == list(range(20))
    assert values["count"] == 20


async def test_atomic_changes_are_seen_and_not_written_again(single):
    manager, calls = counting(single)
    session = Session(manager=manager)
    assert await session.append("cart", "book") == len('["book"]')
    assert await session.append("cart", "lamp", max_bytes=100)
    assert (await session.transform("total", lambda total: total + 7, 3)).value == 10
    assert await session.increment("total", 5) == (True, 15)
    assert session == {"cart": ["book", "lamp"], "total": 15}
    calls.clear()
    assert await session.save()
    assert calls == []
    assert await stored(manager, session.session_id) == {"cart": ["book", "lamp"], "total": 15}


async def test_atomic_changes_of_a_revoked_session_return_none(single):
    manager = single.manager()
    for change in (
        lambda session: session.append("a", 1),
        lambda session: session.transform("a", lambda value: value, 1),
        lambda session: session.increment("a"),
    ):
        session = await loaded(manager, await created(manager, x=1))
        await manager.delete_session(session.session_id)
        assert await change(session) is None
        assert session.cookie == CookieChange(None)


async def test_requests_can_be_limited(single):
    session = Session(manager=single.manager())
    assert await session.rate_limit("api", 1, 60)
    assert (await session.rate_limit("api", 1, 60)).retry_after > 50
    await single.manager().delete_session(session.session_id)
    assert not await session.rate_limit("another", 1, 60)
    assert session.is_new


async def test_a_transform_must_return_the_value(single):
    session = Session(manager=single.manager())
    with pytest.raises(ValueError, match="must return"):
        await session.transform("cart", lambda cart: cart.append(1), [])


async def test_synchronous_code_has_the_same_session(single):
    manager, blocking = single.manager(), sync.SessionManager("test", single.factory)

    def request():
        session = SyncSession({"cart": []}, manager=blocking)
        session.save()
        session = SyncSession(manager=blocking, session_id=session.session_id)
        session.load()
        session["cart"].append("book")
        session.save()
        session.login("alice", expires_in=60)
        session.append("cart", "lamp")
        session.transform("x", lambda value: value + 1, 0)
        session.increment("n")
        session.rotate()
        assert session.rate_limit("api", 1, 60)
        return session

    session = await asyncio.to_thread(request)
    expected = {"cart": ["book", "lamp"], "x": 1, "n": 1, "_expiry": 60}
    assert await stored(manager, session.session_id) == expected
    await manager.delete_session(session.session_id)
    session["late"] = 1
    assert not await asyncio.to_thread(session.save)
    await asyncio.to_thread(session.logout)
    await asyncio.to_thread(blocking.close)


async def test_both_classes_have_the_same_methods(world):
    def public(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(Session) == public(SyncSession)
    sessions = [Session(manager=world.manager()) for _ in range(2)]
    for session in sessions:
        await session.login("alice")
    other = SyncSession(manager=sync.SessionManager("test", world.factory))
    await asyncio.to_thread(other.login, "alice")
    assert await asyncio.to_thread(other.revoke_other_sessions) == 2


def test_event_loops_of_other_libraries_are_refused(world):
    request = Session({"a": 1}, manager=world.manager()).save()
    with pytest.raises(RuntimeError, match="asyncio"):
        request.send(None)


async def adopting(session_id, factory):
    """Store a session in the published format, and return a manager that reads through to it."""
    now = datetime.now(UTC)
    times = {"created_at": now.isoformat(), "expires_at": (now + timedelta(days=1)).isoformat()}
    data = {"session_id": session_id, "sandbox_id": "test", "custom_metadata": {"a": 1}, **times}
    async with factory() as store:
        await store.setex(f"session:{session_id}", 3600, json.dumps(data))
    return SessionManager("test", factory, migration=ReadThrough(PublishedSource(factory)))


async def test_an_adopted_session_gets_a_new_id_with_its_first_save(world):
    manager = await adopting("old-id", world.factory)
    first, other = await loaded(manager, "old-id"), await loaded(manager, "old-id")
    assert await first.save()
    assert first.session_id != "old-id"
    assert first.cookie is not None
    other["b"] = 2
    assert await other.save()
    assert await stored(manager, first.session_id) == {"a": 1, "b": 2}
    await world.advance(seconds=11)
    assert await stored(manager, "old-id") is None
    assert await stored(manager, first.session_id) == {"a": 1, "b": 2}


async def test_an_adopted_session_keeps_its_id_on_request(world):
    manager = await adopting("old-id", world.factory)
    session = await loaded(manager, "old-id", rotate_adopted=False)
    session["b"] = 2
    assert await session.save()
    assert session.session_id == "old-id"
