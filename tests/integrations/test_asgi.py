"""The ASGI middleware: loading, saving before the response, headers, WebSockets, and outages."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from chuk_sessions import InvalidMetadataError, OutcomeUnknownError, SessionTooLargeError, SessionUnavailableError
from chuk_sessions.integrations.asgi import SessionMiddleware
from chuk_sessions.integrations.session import Session
from tests.integrations.asgi_client import Client, WebSocket

DAYS_14 = 14 * 24 * 3600
COOKIE = "__Host-session"


async def respond(send, value, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


async def shop(scope, receive, send):
    """An application with one action per path."""
    session, path = scope["session"], scope["path"]
    if path == "/add":
        session.setdefault("cart", []).append("book")
    elif path == "/login":
        await session.login("alice")
    elif path == "/logout":
        await session.logout()
    elif path == "/clear":
        session.clear()
    elif path == "/nothing":
        await respond(send, None)
        return
    await respond(send, {"values": session, "user": session.user_id})


def client_of(manager, app=shop, **options):
    return Client(SessionMiddleware(app, manager=manager, **options))


def counting(world, **options):
    calls = []

    async def note(call):
        calls.append(call.operation.name)

    return world.intercepted(note, **options), calls


class Broken:
    """A store that fails for the operations in `fails`."""

    def __init__(self, world, error=SessionUnavailableError):
        self.fails = set()
        self.error = error
        self.manager = world.intercepted(self.before)

    async def before(self, call):
        if "*" in self.fails or call.operation.name in self.fails:
            raise self.error("the store is down")


async def test_a_cart_from_login_to_logout(single):
    manager = single.manager()
    client = client_of(manager)
    response = await client.get("/add")
    assert response.json == {"values": {"cart": ["book"]}, "user": None}
    guest = client.session_id
    assert response.header("set-cookie") == (
        f"{COOKIE}={guest}; path=/; Max-Age={DAYS_14}; httponly; samesite=lax; secure"
    )
    assert (await client.get("/login")).json == {"values": {"cart": ["book"]}, "user": "alice"}
    assert client.session_id != guest
    assert not await manager.validate_session(guest)
    assert (await client.get("/add")).json == {"values": {"cart": ["book", "book"]}, "user": "alice"}
    alice = client.session_id
    assert (await client.get("/logout")).json == {"values": {}, "user": None}
    assert client.session_id is None
    assert not await manager.validate_session(alice)


async def test_requests_without_a_cookie_that_write_nothing_cost_nothing(single):
    manager, calls = counting(single)
    client = client_of(manager)
    for path in ("/nothing", "/", "/clear"):
        response = await client.get(path)
        assert response.header("set-cookie") is None
    assert calls == []


async def test_a_read_is_one_call_and_sends_no_cookie(single):
    manager, calls = counting(single)
    client = client_of(manager)
    await client.get("/add")
    calls.clear()
    response = await client.get("/")
    assert calls == ["load"]
    assert response.header("set-cookie") is None


async def test_only_responses_that_depend_on_the_session_vary(single):
    client = client_of(single.manager())
    for path in ("/add", "/"):
        response = await client.get(path)
        assert response.header("vary") == "Cookie"
        assert response.header("cache-control") == "private, no-cache"
    response = await client.get("/nothing")
    assert (response.header("vary"), response.header("cache-control")) == (None, None)


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        ([b"Accept"], "Accept, Cookie"),
        ([b"Accept", b"Origin"], "Accept, Origin, Cookie"),
        ([b"*"], "*"),
        ([b"accept, COOKIE"], "accept, COOKIE"),
    ],
)
async def test_headers_of_the_application_are_kept(single, vary, expected):
    async def app(scope, receive, send):
        assert not scope["session"]
        await respond(send, None, headers=[(b"Cache-Control", b"no-store"), *((b"Vary", value) for value in vary)])

    response = await client_of(single.manager(), app).get("/")
    assert (response.header("vary"), response.header("cache-control")) == (expected, "no-store")


async def test_clearing_deletes_session_and_cookie(single):
    manager = single.manager()
    client = client_of(manager, partitioned=True)
    await client.get("/add")
    old = client.session_id
    response = await client.get("/clear")
    assert response.header("set-cookie") == (
        f"{COOKIE}=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=lax; secure; partitioned"
    )
    assert not await manager.validate_session(old)


async def test_settings_have_starlettes_names_too(single):
    options = {"session_cookie": "sid", "path": "/app", "same_site": "strict", "https_only": False, "max_age": None}
    client = client_of(single.manager(), domain="example.com", secret_key="not needed", **options)
    cookie = (await client.get("/add")).header("set-cookie")
    assert cookie == f"sid={client.cookies['sid']}; path=/app; httponly; samesite=strict; domain=example.com"


@pytest.mark.parametrize("max_age", [0, -1])
async def test_a_session_without_a_lifetime_is_not_stored(single, max_age):
    client = client_of(single.manager(), max_age=max_age)
    response = await client.get("/add")
    assert response.json["values"] == {"cart": ["book"]}
    assert f"; Max-Age={max_age}; " in response.header("set-cookie")
    assert (await client_of(single.manager(), max_age=max_age).get("/")).json["values"] == {}


async def test_tuples_become_lists_as_in_starlette_unless_that_is_refused(single):
    async def app(scope, receive, send):
        if scope["path"] == "/add":
            scope["session"]["pair"] = (1, 2)
        await respond(send, scope["session"])

    client = client_of(single.manager(), app)
    await client.get("/add")
    assert (await client.get("/")).json == {"pair": [1, 2]}
    with pytest.raises(InvalidMetadataError):
        await client_of(single.manager(), app, serializer=None).get("/add")


async def test_other_scopes_pass_through(single):
    async def app(scope, receive, send):
        assert "session" not in scope

    await SessionMiddleware(app, manager=single.manager())({"type": "lifespan"}, None, None)


async def test_a_stale_cookie_is_neither_adopted_nor_deleted(single):
    """A request with it may have been sent before the response that has replaced it arrived."""
    manager = single.manager()
    client = client_of(manager)
    await client.get("/add")
    old = client.session_id
    await manager.delete_session(old)
    response = await client.get("/")
    assert response.json["values"] == {}
    assert response.header("set-cookie") is None
    await client.get("/add")
    assert client.session_id != old
    assert not await manager.validate_session(old)


async def test_ids_that_the_application_chose_are_not_accepted(single):
    manager, calls = counting(single)
    await manager.allocate_session("order-17", custom_metadata={"secret": 1})
    calls.clear()
    client = client_of(manager)
    client.cookies[COOKIE] = "order-17"
    assert (await client.get("/")).json["values"] == {}
    assert calls == []


async def test_concurrent_requests_that_change_different_keys_both_win(single):
    together = asyncio.Barrier(5)

    async def app(scope, receive, send):
        scope["session"][scope["path"]] = 1
        if scope["path"] != "/first":
            await together.wait()  # all have loaded the session before the first one saves it
        await respond(send, None)

    client = client_of(single.manager(), app)
    await client.get("/first")
    await asyncio.gather(*(client.get(f"/{number}") for number in range(5)))
    found = await single.manager().get_session_metadata(client.session_id)
    assert set(found.custom_metadata) == {"/first", *(f"/{number}" for number in range(5))}


async def test_a_session_that_was_revoked_meanwhile_is_not_revived(single, caplog):
    manager = single.manager()

    async def app(scope, receive, send):
        scope["session"]["a"] = "secret"
        if scope["path"] == "/revoked":
            await manager.delete_session(scope["session"].session_id)
        await respond(send, None)

    client = client_of(manager, app)
    await client.get("/")
    old = client.session_id
    await client.get("/revoked")
    assert client.session_id == old  # nothing has changed, so nothing was written
    client.cookies[COOKIE] = old = await manager.allocate_session(user_id="alice")
    await client.get("/revoked")
    assert client.session_id is None
    assert not await manager.validate_session(old)
    assert "dropped" in caplog.text
    assert old not in caplog.text


async def test_a_failing_application_saves_nothing(single):
    manager, calls = counting(single)

    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await client_of(manager, app).get("/")
    assert calls == []


async def test_errors_of_a_save_reach_the_application(single):
    async def app(scope, receive, send):
        scope["session"]["a"] = "x" * 2000
        with pytest.raises(SessionTooLargeError):
            await respond(send, "saved")
        scope["session"].pop("a")
        await respond(send, "failed", status=500)

    response = await client_of(single.manager(max_session_bytes=1000), app).get("/")
    assert (response.status, response.json) == (500, "failed")


async def test_late_changes_need_a_save(single, caplog):
    manager = single.manager()

    async def app(scope, receive, send):
        session = scope["session"]
        session.setdefault("a", 1)
        await respond(send, session)
        session["late"] = 1
        if scope["path"] == "/save":
            await session.save()

    client = client_of(manager, app)
    await client.get("/")
    assert "await session.save()" in caplog.text
    caplog.clear()
    assert (await client.get("/save")).json == {"a": 1}
    assert (await client.get("/save")).json == {"a": 1, "late": 1}
    assert caplog.text == ""


async def test_a_lazy_middleware_loads_nothing(single):
    manager, calls = counting(single)

    async def app(scope, receive, send):
        session = scope["session"]
        if scope["path"] == "/add":
            await session.load()
            session["a"] = 1
        await respond(send, None)

    client = client_of(manager, app, lazy=True)
    await client.get("/add")
    assert calls == ["allocate"]
    await client.get("/")
    assert calls == ["allocate"]
    await client.get("/add")
    assert calls == ["allocate", "load"]


@pytest.mark.parametrize("fails", ["load", "set", "merge", "allocate", "rotate", "delete", "*"])
@pytest.mark.parametrize("error", [SessionUnavailableError, OutcomeUnknownError])
async def test_an_outage_is_status_503_and_never_a_logout(single, fails, error, caplog):
    broken = Broken(single, error)
    client = client_of(broken.manager)
    await client.get("/add")
    before = client.session_id
    broken.fails = {fails}
    refused = 0
    for path in ("/", "/add", "/login", "/logout"):
        client.cookies = {COOKIE: before}
        response = await client.get(path)
        if response.status == 503:
            refused += 1
            assert response.body.startswith(b"The session store is unavailable")
            assert response.header("cache-control") == "no-store"
            assert client.session_id is not None
    assert refused or fails in ("rotate", "set", "merge")
    assert before not in caplog.text


async def test_after_an_outage_the_session_is_there_again(single):
    broken = Broken(single)
    client = client_of(broken.manager)
    await client.get("/add")
    for fails in ("load", "*"):
        broken.fails = {fails}
        assert (await client.get("/add")).status == 503
    broken.fails = set()
    assert (await client.get("/")).json["values"] == {"cart": ["book"]}


async def test_the_application_can_be_served_without_a_session(single, caplog):
    broken = Broken(single)
    client = client_of(broken.manager, serve_without_session=True)
    await client.get("/add")
    session_id = client.session_id
    broken.fails = {"*"}
    response = await client.get("/add")
    assert (response.status, response.json) == (200, {"values": {"cart": ["book"]}, "user": None})
    assert client.session_id == session_id
    assert "dropped" in caplog.text
    stranger = client_of(broken.manager, serve_without_session=True)
    assert (await stranger.get("/add")).status == 200
    assert stranger.session_id is None
    broken.fails = set()
    assert (await client.get("/")).json["values"] == {"cart": ["book"]}


async def test_an_outage_that_the_application_meets_is_status_503(single):
    broken = Broken(single)

    async def app(scope, receive, send):
        if scope["path"] == "/late":
            await respond(send, 1)
        await broken.manager.validate_session("some-id")

    broken.fails = {"validate"}
    client = client_of(broken.manager, app)
    assert (await client.get("/")).status == 503
    with pytest.raises(SessionUnavailableError):
        await client.get("/late")


async def test_damaged_values_are_not_an_outage(single):
    manager = single.manager()
    client = client_of(manager)
    client.cookies[COOKIE] = await manager.allocate_session(custom_metadata={"a": {"$chuk": {"text": "{"}}})
    with pytest.raises(Exception, match="cannot be decoded"):
        await client.get("/")


async def echo(scope, receive, send):
    """Set a value, accept, and save the values of each text."""
    session = scope["session"]
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/refuse":
        session["refused"] = 1
        await send({"type": "websocket.close", "code": 1008})
        return
    session["visits"] = session.get("visits", 0) + 1
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        session["last"] = message["text"]
        saved = await session.save() if scope["path"] == "/save" else None
        await send({"type": "websocket.send", "text": json.dumps(saved)})


async def test_a_websocket_gets_the_session_and_its_cookie(single):
    manager = single.manager()
    client = client_of(manager, echo)
    for visits in (1, 2):
        socket = WebSocket(client, "/save")
        assert (await socket.receive())["type"] == "websocket.accept"
        await socket.send("hello")
        assert await socket.receive() == {"type": "websocket.send", "text": "true"}
        await socket.close()
        found = await manager.get_session_metadata(client.session_id)
        assert found.custom_metadata == {"visits": visits, "last": "hello"}


async def test_a_websocket_learns_that_its_session_was_revoked(single, caplog):
    manager = single.manager()
    client = client_of(manager, echo)
    socket = WebSocket(client, "/save")
    await socket.receive()
    await manager.delete_session(client.session_id)
    for _ in range(2):
        await socket.send("hello")
        assert await socket.receive() == {"type": "websocket.send", "text": "false"}
    await socket.close()
    assert "dropped" in caplog.text


async def test_unsaved_changes_of_a_websocket_are_reported(single, caplog):
    client = client_of(single.manager(), echo)
    socket = WebSocket(client, "/")
    await socket.receive()
    await socket.send("hello")
    await socket.receive()
    await socket.close()
    assert "await session.save()" in caplog.text


async def test_a_refused_websocket_saves_its_session(single):
    manager = single.manager()
    client = client_of(manager, echo)
    client.cookies[COOKIE] = await manager.allocate_session(user_id="alice")
    socket = WebSocket(client, "/refuse")
    assert await socket.receive() == {"type": "websocket.close", "code": 1008}
    await socket.task
    found = await manager.get_session_metadata(client.session_id)
    assert found.custom_metadata == {"refused": 1}


async def test_a_websocket_during_an_outage_is_told_to_try_again(single):
    broken = Broken(single)
    client = client_of(broken.manager, echo)
    socket = WebSocket(client, "/")
    await socket.receive()
    await socket.close()
    broken.fails = {"*"}
    socket = WebSocket(client, "/")
    assert await socket.receive() == {"type": "websocket.close", "code": 1013, "reason": ""}
    await socket.task
    socket = WebSocket(client, "/", extensions={"websocket.http.response": {}})
    start = await socket.receive()
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
    assert (await socket.receive())["type"] == "websocket.http.response.body"
    assert client.session_id is not None


def test_one_middleware_serves_several_event_loops(server, monkeypatch):
    monkeypatch.setenv("SESSION_PROVIDER", "redis")
    monkeypatch.setenv("SESSION_REDIS_URL", server.url)
    client = Client(SessionMiddleware(shop))
    for count in (1, 2, 3):
        response = asyncio.run(client.get("/add"))
        assert response.json["values"] == {"cart": ["book"] * count}


async def test_nothing_secret_is_logged(single, caplog):
    with caplog.at_level(logging.DEBUG):
        manager = single.manager()
        client = client_of(manager)
        await client.get("/add")
        session_id = client.session_id
        await client.get("/login")
        await client.get("/logout")
    assert session_id not in caplog.text


def test_the_session_is_a_dict_for_frameworks():
    assert issubclass(Session, dict)
    assert callable(Session.mark_accessed)
