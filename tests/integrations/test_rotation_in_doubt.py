"""Rotations and logins whose reply is lost: the client keeps its session, whether it has a new id or not."""

from __future__ import annotations

import asyncio
import logging

import pytest

from chuk_sessions import OutcomeUnknownError, SessionManager, SessionUnavailableError
from chuk_sessions.backends.redis.scripts import scripts
from chuk_sessions.integrations.cookies import CookieSettings, ids_in, value_of
from chuk_sessions.integrations.session import Session
from chuk_sessions.providers import redis
from tests.conftest import bundled
from tests.harness.farms import Proxy
from tests.harness.servers import running
from tests.integrations.dying_store import OUTCOMES, DyingStore
from tests.integrations.test_asgi import client_of, respond

ID = "sess-alice-1700000000-0f" + "ab" * 16
OTHER = "sess-1700000000-ff" + "00" * 16


async def app(scope, receive, send):
    """An application with one action per path."""
    session, path = scope["session"], scope["path"]
    if path == "/add":
        session.setdefault("cart", []).append("book")
    elif path == "/rotate":
        await session.rotate(grace_seconds=60 if "grace" in scope["query_string"].decode() else 0)
    elif path.startswith("/login/"):
        await session.login(path.removeprefix("/login/"))
    elif path == "/logout":
        await session.logout()
    await respond(send, {"cart": session.get("cart"), "user": session.user_id})


async def opened(store, user=None):
    """Return the session of a new user with a cart, and its id."""
    session = Session({"cart": ["book"]}, manager=store.manager)
    await session.save()
    if user is not None:
        await session.login(user)
    return await reopened(store, session.session_id), session.session_id


async def reopened(store, cookie):
    session = Session(manager=store.manager, session_id=cookie)
    await session.load()
    return session


async def fail(store, awaitable):
    """Await a rotation during which the store dies, and let the store come back."""
    with pytest.raises(OutcomeUnknownError):
        await awaitable
    store.come_back()


@OUTCOMES
@pytest.mark.parametrize("path", ["/rotate", "/rotate?grace", "/login/alice"])
async def test_a_browser_keeps_its_session_and_the_next_one(single, is_applied, path):
    store = DyingStore(single)
    client = client_of(store.manager, app)
    await client.get("/login/alice")
    await client.get("/add")
    before = client.session_id
    store.die_during_rotation(is_applied=is_applied)
    response = await client.get(path)
    assert (response.status, ids_in(client.session_id)[0]) == (503, before)
    both = client.session_id
    assert (await client.get("/")).status == 503
    store.come_back()
    assert client.session_id == both
    assert (await client.get("/add")).json == {"cart": ["book", "book"], "user": "alice"}
    await single.advance(seconds=90)
    assert (await client.get("/")).json == {"cart": ["book", "book"], "user": "alice"}
    assert (client.session_id == ids_in(both)[1]) == is_applied
    assert (await client.get(path)).status == 200
    assert ids_in(client.session_id)[1] is None
    assert (await client.get("/")).json == {"cart": ["book", "book"], "user": "alice"}


@OUTCOMES
async def test_a_guest_keeps_the_cart_if_the_outcome_of_the_login_is_unknown(world, is_applied):
    store = DyingStore(world)
    client = client_of(store.manager, app)
    await client.get("/add")
    store.die_during_deletion(is_applied=is_applied)
    assert (await client.get("/login/alice")).status == 503
    store.come_back()
    assert (await client.get("/")).json == {"cart": ["book"], "user": "alice" if is_applied else None}
    assert (await client.get("/login/alice")).json == {"cart": ["book"], "user": "alice"}
    assert ids_in(client.session_id)[1] is None
    assert (await client.get("/")).json == {"cart": ["book"], "user": "alice"}
    assert await store.manager.count_sessions() == 1


@OUTCOMES
async def test_a_request_may_try_again(world, is_applied):
    store = DyingStore(world)
    session, old = await opened(store, "alice")
    session["seen"] = True
    store.die_during_rotation(is_applied=is_applied)
    await fail(store, session.rotate())
    assert await session.rotate()
    assert session.session_id not in (old, None)
    assert session.cookie.value == session.session_id
    assert await session.save()
    assert dict(await reopened(store, session.session_id)) == {"cart": ["book"], "seen": True}
    assert await store.manager.count_sessions("alice") == 1


@OUTCOMES
async def test_changes_are_saved_if_the_application_goes_on(single, is_applied):
    store = DyingStore(single)
    session, old = await opened(store, "alice")
    session["cart"].append("pen")
    store.die_during_rotation(is_applied=is_applied)
    await fail(store, session.login("alice"))
    session["seen"] = True
    assert await session.increment("visits") == (True, 1)
    assert await session.save()
    assert ids_in(session.cookie.value)[0] == (session.session_id if is_applied else old)
    found = await reopened(store, session.cookie.value)
    assert dict(found) == {"cart": ["book", "pen"], "seen": True, "visits": 1}
    assert found.user_id == "alice"


async def test_changes_of_a_user_whose_login_has_failed_do_not_reach_the_user_before(single):
    store = DyingStore(single)
    session, old = await opened(store, "alice")
    move, login = OutcomeUnknownError("the reply was lost"), session._login_steps("bob", None)
    next(login)
    move.session_id = OTHER
    with pytest.raises(OutcomeUnknownError):
        login.throw(move)
    session["order"] = "of bob"
    assert await session.save()
    found = await reopened(store, old)
    assert (dict(found), found.user_id) == ({"cart": ["book"]}, "alice")


@OUTCOMES
async def test_a_logout_deletes_the_session_under_both_ids(world, is_applied):
    store = DyingStore(world)
    session, _ = await opened(store, "alice")
    store.die_during_rotation(is_applied=is_applied)
    await fail(store, session.rotate())
    cookie = session.cookie.value
    session = Session(manager=store.manager, session_id=cookie)
    await session.logout()
    assert session.cookie.value is None
    assert await store.manager.count_sessions("alice") == 0


@OUTCOMES
async def test_a_session_that_is_revoked_meanwhile_is_not_revived(world, is_applied, caplog):
    store = DyingStore(world)
    session, _ = await opened(store, "alice")
    store.die_during_rotation(is_applied=is_applied)
    await fail(store, session.rotate())
    await store.manager.revoke_user_sessions("alice")
    session["seen"] = True
    with caplog.at_level(logging.WARNING):
        assert not await session.save()
    assert "was revoked" in caplog.text
    assert session.cookie.value is None
    assert await store.manager.count_sessions() == 0


async def test_without_changes_nothing_is_sent_after_the_reply_was_lost(world):
    """The store has just died, so the response must not wait for it."""
    store = DyingStore(world)
    session, _ = await opened(store)
    store.die_during_rotation(is_applied=True)
    with pytest.raises(OutcomeUnknownError):
        await session.rotate()
    assert not await session.save()
    session["a"] = 1
    with pytest.raises(SessionUnavailableError):
        await session.save()


def test_a_cookie_has_one_id_or_two():
    assert ids_in(value_of(ID, None)) == (ID, None)
    assert ids_in(value_of(ID, OTHER)) == (ID, OTHER)
    find = CookieSettings(secure=False).find
    assert find(f"session={ID}.{OTHER}") == f"{ID}.{OTHER}"
    for bad in (f"{ID}.", f".{ID}", f"{ID}.x", f"x.{ID}", f"{ID}.{OTHER}.{ID}", "."):
        assert find(f"session={bad}") is None
        assert ids_in(bad) == (bad, None)


@OUTCOMES
async def test_a_server_that_is_killed_during_a_login_logs_nobody_out(is_applied):
    with running(bundled(), "--appendonly", "yes", "--appendfsync", "always") as server, Proxy(server.port) as proxy:
        manager = SessionManager("test", redis.factory(f"redis://127.0.0.1:{proxy.port}", call_timeout=1.0))
        client = client_of(manager, app)
        await client.get("/login/alice")
        await client.get("/add")
        rotation = scripts()["rotate"].sha
        if is_applied:
            losses = proxy.lose_replies(1, rotation)
        else:
            proxy.hold(rotation)
        proxy.refusing = True
        assert (await client.get("/login/alice")).status == 503
        assert not is_applied or losses.met == 1
        server.kill()
        server.restart()
        proxy.refusing = False
        async with asyncio.timeout(30):
            while (response := await client.get("/")).status == 503:  # noqa: ASYNC110  (nothing else tells)
                await asyncio.sleep(0.01)
        assert response.json == {"cart": ["book"], "user": "alice"}
        assert await manager.count_sessions("alice") == 1
        await manager.aclose()
