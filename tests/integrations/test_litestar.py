"""Sessions in Litestar: its own methods, merging of changes, cookies, WebSockets, and outages."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.connection import ASGIConnection
from litestar.exceptions import ImproperlyConfiguredException
from litestar.middleware.session.base import BaseBackendConfig, BaseSessionBackend
from litestar.security.session_auth import SessionAuth
from litestar.types import Empty

from chuk_sessions import SessionUnavailableError, session_hash
from chuk_sessions.integrations.cookies import ids_in
from chuk_sessions.integrations.litestar import ChukSessionBackend, ChukSessionConfig, session_of
from chuk_sessions.integrations.session import Session
from chuk_sessions.providers import redis
from tests.harness.servers import Server
from tests.harness.worlds import World
from tests.integrations.asgi_client import Client
from tests.integrations.asgi_client import WebSocket as WebSocketClient
from tests.integrations.dying_store import OUTCOMES, DyingStore

NOBODY = uuid.UUID(int=1)


@dataclass
class Profile:
    name: str
    token: uuid.UUID


@get("/")
async def show(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return request.session


@get("/nothing")
async def nothing() -> None:
    pass


@get("/id", sync_to_thread=False)
def show_id(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"id": request.get_session_id(), "user": session_of(request).user_id}


@post("/add/{item:str}")
async def add(request: Request[Any, Any, Any]) -> None:
    request.session.setdefault("cart", []).append(request.path_params["item"])


@post("/set")
async def set_values(request: Request[Any, Any, Any]) -> None:
    request.set_session(await request.json())


@post("/set-model")
async def set_model(request: Request[Any, Any, Any]) -> None:
    request.set_session(Profile("alice", NOBODY))


@post("/set-empty")
async def set_empty(request: Request[Any, Any, Any]) -> None:
    request.set_session(Empty)


@post("/clear")
async def clear(request: Request[Any, Any, Any]) -> None:
    request.clear_session()


@post("/login")
async def login(request: Request[Any, Any, Any]) -> None:
    await session_of(request).login("alice")


@post("/logout")
async def logout(request: Request[Any, Any, Any]) -> None:
    await session_of(request).logout()


@post("/fails")
async def fails(request: Request[Any, Any, Any]) -> None:
    request.session["cart"] = ["lost"]
    raise ValueError("the handler fails")


@websocket("/socket")
async def socket(socket: WebSocket[Any, Any, Any]) -> None:
    socket.session["socket"] = True
    await socket.accept()
    await socket.receive_text()
    socket.session["later"] = True
    await session_of(socket).save()
    await socket.send_json(dict(socket.session))
    await socket.close()


HANDLERS = [show, nothing, show_id, add, set_values, set_model, set_empty, clear, login, logout, fails, socket]


def app_with(config: ChukSessionConfig, *handlers: Any, **options: Any) -> Any:
    return Litestar(
        [*HANDLERS, *handlers], on_app_init=[config.on_app_init], openapi_config=None, logging_config=None, **options
    )


def client_of(manager: Any, **options: Any) -> Client:
    return Client(app_with(ChukSessionConfig(manager=manager, **options)))


def test_it_is_a_configuration_of_a_backend():
    config = ChukSessionConfig(sandbox_id="a")
    assert isinstance(config, BaseBackendConfig)
    assert isinstance(ChukSessionBackend(config=config), BaseSessionBackend)


async def test_values_of_all_kinds_come_back_as_with_litestars_own_backends(world: World):
    @post("/store")
    async def store(request: Request[Any, Any, Any]) -> None:
        request.session.update({"tuple": (1, 2), "uuid": NOBODY, "model": Profile("bob", NOBODY), "text": "naïve\0"})

    client = Client(app_with(ChukSessionConfig(manager=world.manager()), store))
    await client.post("/store")
    model = {"name": "bob", "token": str(NOBODY)}
    expected = {"tuple": [1, 2], "uuid": str(NOBODY), "model": model, "text": "naïve\0"}
    assert (await client.get("/")).json == expected


async def test_set_session_replaces_all_values(world: World):
    client = client_of(world.manager())
    await client.post("/set", {"a": 1, "b": 2})
    first = client.session_id
    assert first is not None
    await client.post("/set", {"b": 3, "c": 4})
    assert (await client.get("/")).json == {"b": 3, "c": 4}
    await client.post("/set-model")
    assert (await client.get("/")).json == {"name": "alice", "token": str(NOBODY)}
    assert client.session_id == first


@pytest.mark.parametrize("path", ["/clear", "/set-empty"])
async def test_clearing_deletes_session_and_cookie(world: World, path):
    manager = world.manager()
    client = client_of(manager)
    await client.post("/set", {"a": 1})
    response = await client.post(path)
    assert response.all("set-cookie")[0].startswith("__Host-session=null; path=/; expires=Thu, 01 Jan 1970")
    assert client.session_id is None
    assert await manager.count_sessions() == 0


async def test_login_rotates_and_logout_deletes(world: World):
    manager = world.manager()
    client = client_of(manager)
    await client.post("/add/book")
    guest = client.session_id
    assert (await client.get("/id")).json == {"id": guest, "user": None}
    await client.post("/login")
    assert (await client.get("/id")).json == {"id": client.session_id, "user": "alice"}
    assert client.session_id != guest
    assert not await manager.validate_session(guest or "")
    assert (await client.get("/")).json == {"cart": ["book"]}
    await client.post("/logout")
    assert (await client.get("/")).json == {}
    assert await manager.count_sessions() == 0


async def test_concurrent_requests_keep_each_others_keys(world: World):
    entered = asyncio.Barrier(2)

    @post("/note/{key:str}")
    async def note(request: Request[Any, Any, Any]) -> None:
        request.session[request.path_params["key"]] = True
        await entered.wait()

    client = Client(app_with(ChukSessionConfig(manager=world.manager()), note))
    await client.post("/set", {"a": 1})
    await asyncio.gather(client.post("/note/b"), client.post("/note/c"))
    assert (await client.get("/")).json == {"a": 1, "b": True, "c": True}


async def test_a_session_that_is_revoked_meanwhile_stays_revoked(world: World, caplog):
    manager = world.manager()

    @post("/revoked")
    async def revoked(request: Request[Any, Any, Any]) -> None:
        request.session["x"] = 1
        await manager.revoke_session(session_hash(session_of(request).session_id or ""))

    client = Client(app_with(ChukSessionConfig(manager=manager), revoked))
    await client.post("/set", {"a": 1})
    with caplog.at_level(logging.WARNING, "chuk_sessions.integrations"):
        await client.post("/revoked")
    assert "its changes are dropped" in caplog.text
    assert client.session_id is None
    assert await manager.count_sessions() == 0


async def test_an_error_of_a_handler_keeps_the_cookie(world: World):
    client = client_of(world.manager())
    await client.post("/add/book")
    before = client.session_id
    assert (await client.post("/fails")).status == 500
    assert client.session_id == before


async def test_requests_that_write_nothing_send_nothing(world: World):
    calls: list[str] = []

    async def note(call: Any) -> None:
        calls.append(call.operation.name)

    client = client_of(world.intercepted(note))
    for path in ("/", "/nothing", "/id"):
        assert (await client.get(path)).header("set-cookie") is None
    await client.post("/clear")
    assert calls == []
    await client.post("/add/book")
    calls.clear()
    assert (await client.get("/")).json == {"cart": ["book"]}
    assert calls == ["load"]


async def test_caches_keep_no_response_to_a_client_with_a_session(world: World):
    client = client_of(world.manager())
    response = await client.get("/nothing")
    assert (response.header("vary"), response.header("cache-control")) == (None, None)
    await client.post("/add/book")
    response = await client.get("/")
    assert (response.header("vary"), response.header("cache-control")) == ("Cookie", "private, no-cache")


async def test_the_cookie_has_the_attributes_of_the_configuration(world: World):
    client = client_of(world.manager(), samesite="strict", partitioned=True, max_age=60)
    cookie = (await client.post("/add/book")).all("set-cookie")[0]
    assert cookie.partition("; ")[2] == "path=/; Max-Age=60; httponly; samesite=strict; secure; partitioned"
    config = ChukSessionConfig(manager=world.manager(), secure=False, httponly=False, key="id", domain="example.com")
    cookie = (await Client(app_with(config)).post("/add/book")).all("set-cookie")[0]
    assert cookie.startswith("id=sess-")
    assert cookie.partition("; ")[2] == "path=/; Max-Age=1209600; samesite=lax; domain=example.com"


@pytest.mark.parametrize("value", ["null", "x", "sess-1", "../..", "a" * 5000, '"', "sess-1796061563-0192109dde20c129"])
async def test_foreign_cookies_are_no_session(world: World, value):
    client = client_of(world.manager())
    client.cookies["__Host-session"] = value
    assert (await client.get("/")).json == {}
    assert (await client.get("/id")).json == {"id": None, "user": None}


async def test_websockets_have_the_session(world: World):
    client = client_of(world.manager())
    socket = WebSocketClient(client, "/socket")
    assert (await socket.receive())["type"] == "websocket.accept"
    assert client.session_id is not None
    await socket.send("continue")
    assert (await socket.receive())["type"] == "websocket.send"
    assert (await client.get("/")).json == {"socket": True, "later": True}
    await socket.close()


class Broken:
    """A store that fails while `is_down`."""

    def __init__(self, world: Any) -> None:
        self.is_down = False
        self.manager = world.intercepted(self.before)

    async def before(self, call: Any) -> None:
        if self.is_down:
            raise SessionUnavailableError("the store is down")


async def test_an_outage_is_status_503_and_logs_nobody_out(world: World):
    broken = Broken(world)
    client = client_of(broken.manager)
    for path in ("/add/book", "/login"):
        broken.is_down = True
        assert (await client.post(path)).status == 503
        assert client.session_id is None
    broken.is_down = False
    await client.post("/add/book")
    before, broken.is_down = client.session_id, True
    for path in ("/", "/nothing"):
        response = await client.get(path)
        assert (response.status, response.header("set-cookie")) == (503, None)
    assert client.session_id == before
    broken.is_down = False
    assert (await client.get("/")).json == {"cart": ["book"]}


async def test_an_outage_within_a_handler_is_status_503(world: World):
    broken = Broken(world)
    client = client_of(broken.manager)
    await client.post("/add/book")

    @post("/login-during-outage")
    async def login_during_outage(request: Request[Any, Any, Any]) -> None:
        broken.is_down = True
        await session_of(request).login("alice")

    client.app = app_with(ChukSessionConfig(manager=broken.manager), login_during_outage)
    response = await client.post("/login-during-outage")
    assert (response.status, response.header("cache-control")) == (503, "no-store")


@OUTCOMES
async def test_a_client_keeps_a_session_whose_rotation_is_in_doubt(world: World, is_applied: bool):
    store = DyingStore(world)
    client = client_of(store.manager)
    await client.post("/login")
    await client.post("/add/book")
    before = client.session_id
    store.die_during_rotation(is_applied=is_applied)
    assert (await client.post("/login")).status == 503
    both = client.session_id
    assert both is not None
    assert ids_in(both)[0] == before
    store.come_back()
    assert (await client.get("/id")).json == {"id": ids_in(both)[is_applied], "user": "alice"}
    assert (await client.get("/")).json == {"cart": ["book"]}


async def test_an_application_may_serve_without_sessions(world: World):
    broken = Broken(world)
    client = client_of(broken.manager, serve_without_session=True)
    await client.post("/add/book")
    before, broken.is_down = client.session_id, True
    assert (await client.get("/")).json == {}
    assert (await client.post("/add/pen")).status == 201
    broken.is_down = False
    assert client.session_id == before
    assert (await client.get("/")).json == {"cart": ["book"]}


async def test_session_auth_works(world: World):
    @post("/sign-in")
    async def sign_in(request: Request[Any, Any, Any]) -> None:
        request.set_session({"name": "alice"})

    @get("/whoami")
    async def whoami(request: Request[Any, Any, Any]) -> str:
        return str(request.user)

    async def user_of(session: dict[str, Any], connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
        return session.get("name")

    config = ChukSessionConfig(manager=world.manager())
    auth = SessionAuth[str, ChukSessionBackend](
        retrieve_user_handler=user_of, session_backend_config=config, exclude=["/sign-in", "/schema"]
    )
    client = Client(Litestar([sign_in, whoami], on_app_init=[auth.on_app_init]))
    assert (await client.get("/whoami")).status == 401
    await client.post("/sign-in")
    assert (await client.get("/whoami")).body == b"alice"
    assert (auth.openapi_components.security_schemes or {})["sessionCookie"].to_schema()["name"] == "__Host-session"


async def test_the_session_object_is_that_of_the_request(world: World):
    @get("/same")
    async def same(request: Request[Any, Any, Any]) -> bool:
        return isinstance(request.session, Session) and request.session is session_of(request)

    client = Client(app_with(ChukSessionConfig(manager=world.manager()), same))
    assert (await client.get("/same")).json is True


async def test_without_the_middleware_there_is_no_session():
    connection = ASGIConnection[Any, Any, Any, Any]({"type": "http"})
    with pytest.raises(ImproperlyConfiguredException):
        session_of(connection)


def test_arguments_come_from_the_environment_and_loops_take_turns(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SESSION_PROVIDER", "redis")
    monkeypatch.setenv("SESSION_REDIS_URL", server.url)
    monkeypatch.setenv("CHUK_SANDBOX_ID", "shop")
    client = Client(app_with(ChukSessionConfig()))
    for number in range(3):
        asyncio.run(client.post(f"/add/{number}"))
    assert asyncio.run(client.get("/")).json == {"cart": ["0", "1", "2"]}
    with pytest.raises(ValueError, match="not both"):
        ChukSessionConfig(manager=ChukSessionConfig().sessions.manager, session_factory=redis.factory(server.url))
