"""The storage for aiohttp_session: its contract, merging of changes, streams, WebSockets, and outages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp_session
import pytest
from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp_session import get_session, new_session

from chuk_sessions import SessionUnavailableError, session_hash
from chuk_sessions.integrations.aiohttp import ChukSession, ChukStorage, session_of, setup
from chuk_sessions.integrations.cookies import ids_in
from tests.harness.servers import Server
from tests.harness.worlds import World
from tests.integrations.dying_store import OUTCOMES, DyingStore

# aiohttp warns about the keys that aiohttp_session uses.
pytestmark = pytest.mark.filterwarnings("ignore:It is recommended to use web")

COOKIE = "AIOHTTP_SESSION"
Handler = Callable[[web.Request, Any], Any]


if TYPE_CHECKING:
    AnyClient = TestClient[web.Request, web.Application]
else:
    # In older versions, the class has no parameters.
    AnyClient = TestClient


class Browser(AnyClient):
    """A client that keeps cookies, and whose `do` sends a function that the application runs with the session."""

    __test__ = False

    def __init__(self, app: web.Application) -> None:
        super().__init__(TestServer(app), cookie_jar=CookieJar(unsafe=True))
        self.actions: dict[str, Handler] = {}
        app.router.add_get("/{name}", self._run)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        result = self.actions[request.match_info["name"]](request, await get_session(request))
        result = await result if asyncio.iscoroutine(result) else result
        return result if isinstance(result, web.StreamResponse) else web.json_response(result)

    async def do(self, action: Handler) -> Any:
        """Return the response to a request that `action` handles; it gets request and session."""
        name = f"action-{len(self.actions)}"
        self.actions[name] = action
        return await self.get(f"/{name}")

    async def values(self) -> Any:
        """Return the values of the session, as JSON."""
        return await (await self.do(lambda request, session: dict(session))).json()

    def plant(self, value: str) -> None:
        """Set the session cookie."""
        self.session.cookie_jar.update_cookies({COOKIE: value}, self.make_url("/"))

    @property
    def session_id(self) -> str | None:
        """The id in the session cookie, or None."""
        cookie = self.session.cookie_jar.filter_cookies(self.make_url("/")).get(COOKIE)
        return cookie.value if cookie else None


@asynccontextmanager
async def browser(manager: Any, **options: Any) -> AsyncIterator[Browser]:
    """Open a browser for a new application."""
    app = web.Application()
    setup(app, ChukStorage(manager=manager, secure=False, **options))
    async with Browser(app) as client:
        yield client


def test_it_is_a_storage():
    assert isinstance(ChukStorage(sandbox_id="a"), aiohttp_session.AbstractStorage)
    assert ChukStorage(sandbox_id="a").cookie_name == f"__Host-{COOKIE}"


async def test_a_session_from_creation_to_invalidation(world: World):
    manager = world.manager()
    async with browser(manager) as client:

        async def add(request, session):
            assert isinstance(session, ChukSession)
            assert (session.new, session.identity, session.empty, session.max_age) == (True, None, True, None)
            session.setdefault("cart", []).append("book")

        response = await client.do(add)
        first = client.session_id
        assert response.headers["Set-Cookie"] == f"{COOKIE}={first}; path=/; httponly; samesite=lax"

        def show(request, session):
            created = session.created
            return [session.new, session.identity, dict(session), created]

        new, identity, values, created = await (await client.do(show)).json()
        assert (new, identity, values) == (False, first, {"cart": ["book"]})
        assert created == pytest.approx(world.clock.now_ms() / 1000, abs=2)
        response = await client.do(lambda request, session: session.invalidate())
        assert response.headers["Set-Cookie"] == (
            f"{COOKIE}=; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=lax; Max-Age=0"
        )
        assert client.session_id is None
        assert not await manager.validate_session(first or "")


async def test_the_id_of_an_invalidated_session_never_comes_back(world: World):
    async with browser(world.manager()) as client:
        await client.do(lambda request, session: session.update(a=1))
        first = client.session_id

        def replace(request, session):
            session.invalidate()
            session["b"] = 2

        await client.do(replace)
        assert client.session_id not in (None, first)
        assert await client.values() == {"b": 2}
        client.plant(first or "")
        await client.do(lambda request, session: session.update(c=3))
        assert client.session_id != first
        assert await client.values() == {"c": 3}


async def test_changes_inside_values_are_found(world: World):
    async with browser(world.manager()) as client:
        await client.do(lambda request, session: session.update(a={"list": [1]}))
        await client.do(lambda request, session: session["a"]["list"].append(2))
        assert await client.values() == {"a": {"list": [1, 2]}}


async def test_concurrent_requests_keep_each_others_keys(world: World):
    barrier = asyncio.Barrier(2)

    def note(key):
        async def action(request, session):
            session[key] = True
            await barrier.wait()

        return action

    async with browser(world.manager()) as client:
        await client.do(lambda request, session: session.update(a=1))
        await asyncio.gather(client.do(note("b")), client.do(note("c")))
        assert await client.values() == {"a": 1, "b": True, "c": True}


async def test_each_session_may_have_its_own_max_age(world: World):
    async with browser(world.manager(), max_age=1000) as client:
        response = await client.do(lambda request, session: session.update(a=1))
        assert "Max-Age=1000" in response.headers["Set-Cookie"]

        def limit(request, session):
            assert session.max_age == 1000
            session.max_age = 10

        response = await client.do(limit)
        assert "Max-Age=10;" in response.headers["Set-Cookie"]
        assert await (await client.do(lambda request, session: session.max_age)).json() == 10
        await world.advance(seconds=9)
        assert (await client.values())["a"] == 1
        await world.advance(seconds=1)
        assert await client.values() == {}


async def test_a_new_session_replaces_the_cookie(world: World):
    async def start(request, session):
        (await new_session(request))["fresh"] = True

    async with browser(world.manager()) as client:
        await client.do(lambda request, session: session.update(a=1))
        first = client.session_id
        await client.do(start)
        assert client.session_id != first
        assert await client.values() == {"fresh": True}


async def test_nobody_chooses_ids(world: World):
    async with browser(world.manager()) as client:

        def choose(request, session):
            with pytest.raises(RuntimeError):
                session.set_new_identity("mine")
            session["a"] = 1

        await client.do(choose)
        assert (client.session_id or "").startswith("sess-")


async def test_login_and_logout_of_other_devices(world: World):
    manager = world.manager()

    async def login(request, session):
        await (await session_of(request)).login("alice")

    async def revoke(request, session):
        return await (await session_of(request)).revoke_other_sessions()

    async with browser(manager) as laptop, browser(manager) as phone:
        await laptop.do(lambda request, session: session.update(cart=["book"]))
        guest = laptop.session_id
        await laptop.do(login)
        await phone.do(login)
        assert laptop.session_id != guest
        assert not await manager.validate_session(guest or "")
        assert await (await laptop.do(revoke)).json() == 1
        assert await laptop.values() == {"cart": ["book"]}
        assert await phone.values() == {}
        assert [session.user_id for session in await manager.list_user_sessions("alice")] == ["alice"]


async def test_a_session_that_is_revoked_meanwhile_stays_revoked(world: World, caplog):
    manager = world.manager()

    async def revoked(request, session):
        session["x"] = 1
        await manager.revoke_session(session_hash(session.identity))

    async with browser(manager) as client:
        await client.do(lambda request, session: session.update(a=1))
        with caplog.at_level(logging.WARNING, "chuk_sessions.integrations"):
            await client.do(revoked)
        assert "its changes are dropped" in caplog.text
        assert client.session_id is None
        assert await manager.count_sessions() == 0


async def test_requests_that_write_nothing_send_nothing(world: World):
    calls: list[str] = []

    async def note(call: Any) -> None:
        calls.append(call.operation.name)

    async with browser(world.intercepted(note)) as client:
        response = await client.do(lambda request, session: dict(session))
        await client.do(lambda request, session: session.invalidate())
        assert "Set-Cookie" not in response.headers
        assert calls == []
        await client.do(lambda request, session: session.update(a=1))
        calls.clear()
        assert await client.values() == {"a": 1}
        assert calls == ["load"]


async def test_responses_that_depend_on_the_session_vary(world: World):
    def with_headers(request, session):
        return web.json_response(dict(session), headers={"Vary": "Accept", "Cache-Control": "no-store"})

    async with browser(world.manager()) as client:
        headers = (await client.do(lambda request, session: dict(session))).headers
        assert (headers["Vary"], headers["Cache-Control"]) == ("Cookie", "private, no-cache")
        headers = (await client.do(with_headers)).headers
        assert (headers["Vary"], headers["Cache-Control"]) == ("Accept, Cookie", "no-store")
        headers = (await client.do(lambda request, session: None)).headers
        assert "Vary" not in headers


@pytest.mark.parametrize("value", ["x", "sess-1", "../..", "a" * 5000, "sess-1796061563-0192109dde20c129", "null"])
async def test_foreign_cookies_are_no_session(world: World, value):
    async with browser(world.manager()) as client:
        client.plant(value)
        assert await client.values() == {}
        await client.do(lambda request, session: session.update(a=1))
        assert client.session_id != value


async def test_streams_and_websockets_save_the_session_before_they_begin(world: World):
    async def stream(request, session):
        session["stream"] = True
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"text")
        return response

    async def socket(request, session):
        session["socket"] = True
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        session["later"] = True
        await session.save()
        await socket.close()
        return socket

    async with browser(world.manager()) as client:
        assert (await client.do(stream)).headers.getall("Set-Cookie") == [
            f"{COOKIE}={client.session_id}; path=/; httponly; samesite=lax"
        ]
        client.actions["socket"] = socket
        async with client.ws_connect("/socket") as connection:
            await connection.receive()
        assert await client.values() == {"stream": True, "socket": True, "later": True}


async def test_exceptions_as_responses_save_the_session(world: World):
    def redirect(request, session):
        session["message"] = "done"
        raise web.HTTPBadRequest

    async with browser(world.manager()) as client:
        assert (await client.do(redirect)).status == 400
        assert await client.values() == {"message": "done"}


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

    async def login(request, session):
        await (await session_of(request)).login("alice")

    async with browser(broken.manager) as client:
        broken.is_down = True
        assert (await client.do(lambda request, session: session.update(a=1))).status == 503
        assert (await client.do(login)).status == 503
        broken.is_down = False
        await client.do(lambda request, session: session.update(a=1))
        before, broken.is_down = client.session_id, True
        response = await client.do(lambda request, session: dict(session))
        assert (response.status, response.headers["Cache-Control"]) == (503, "no-store")
        assert client.session_id == before
        broken.is_down = False
        assert await client.values() == {"a": 1}


async def test_an_outage_in_a_handler_that_has_changed_values_is_status_503(world: World):
    broken = Broken(world)

    async def log_in(request, session):
        session["message"], broken.is_down = "welcome", True
        await (await session_of(request)).login("alice")

    async def add(request, session):
        session["message"], broken.is_down = "added", True
        await (await session_of(request)).append("cart", "book")

    async with browser(broken.manager) as client:
        await client.do(lambda request, session: session.update(a=1))
        before = client.session_id
        for action in (log_in, add):
            assert (await client.do(action)).status == 503
            broken.is_down = False
            assert client.session_id == before
            assert await client.values() == {"a": 1}


@OUTCOMES
async def test_a_client_keeps_a_session_whose_rotation_is_in_doubt(world: World, is_applied: bool):
    store = DyingStore(world)

    async def log_in(request, session):
        session["message"] = "welcome"
        await (await session_of(request)).login("alice")

    async def user(request, session):
        return session.identity, (await session_of(request)).user_id

    async with browser(store.manager) as client:
        await client.do(log_in)
        before = client.session_id
        store.die_during_rotation(is_applied=is_applied)
        assert (await client.do(log_in)).status == 503
        both = client.session_id
        assert both is not None
        assert ids_in(both)[0] == before
        store.come_back()
        assert await (await client.do(user)).json() == [ids_in(both)[is_applied], "alice"]
        assert await client.values() == {"message": "welcome"}


async def test_an_application_may_serve_without_sessions(world: World):
    broken = Broken(world)
    async with browser(broken.manager, serve_without_session=True) as client:
        await client.do(lambda request, session: session.update(a=1))
        before, broken.is_down = client.session_id, True
        assert await client.values() == {}
        assert (await client.do(lambda request, session: session.update(b=1))).status == 200
        broken.is_down = False
        assert client.session_id == before
        assert await client.values() == {"a": 1}


async def test_the_setup_of_aiohttp_session_works_too(world: World):
    app = web.Application()
    aiohttp_session.setup(app, ChukStorage(manager=world.manager(), secure=False))
    async with Browser(app) as client:
        response = await client.do(lambda request, session: session.update(a=1))
        assert len(response.headers.getall("Set-Cookie")) == 1
        assert await client.values() == {"a": 1}


async def test_another_storage_has_no_session_object():
    app = web.Application()
    aiohttp_session.setup(app, aiohttp_session.SimpleCookieStorage())
    async with Browser(app) as client:

        async def use(request, session):
            with pytest.raises(RuntimeError):
                await session_of(request)

        assert (await client.do(use)).status == 200


def test_arguments_come_from_the_environment_and_loops_take_turns(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SESSION_PROVIDER", "redis")
    monkeypatch.setenv("SESSION_REDIS_URL", server.url)
    monkeypatch.setenv("CHUK_SANDBOX_ID", "shop")
    storage = ChukStorage(secure=False)

    async def visit(session_id: str) -> tuple[Any, str]:
        app = web.Application()
        setup(app, storage)
        async with Browser(app) as client:
            client.plant(session_id)
            await client.do(lambda request, session: session.setdefault("visits", []).append(1))
            return await client.values(), client.session_id or ""

    session_id = ""
    for number in (1, 2, 3):
        values, session_id = asyncio.run(visit(session_id))
        assert values == {"visits": [1] * number}
