"""FastAPI: the dependencies, the answer to strangers, and the OpenAPI security scheme."""

from __future__ import annotations

import pytest
from fastapi import Depends, FastAPI
from fastapi import WebSocket as FastAPIWebSocket

from chuk_sessions import SessionUnavailableError
from chuk_sessions.integrations.asgi import SessionMiddleware
from chuk_sessions.integrations.fastapi import CurrentSession, CurrentUser, SessionCookie, require_user
from tests.integrations.asgi_client import Client, WebSocket


def shop() -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    async def health() -> str:
        return "ok"

    @app.post("/login")
    async def login(name: str, session: CurrentSession) -> None:
        await session.login(name)

    @app.post("/logout")
    async def logout(session: CurrentSession) -> None:
        await session.logout()

    @app.get("/cart")
    async def cart(session: CurrentSession) -> list[str]:
        return list(session.get("cart", []))

    @app.post("/cart")
    async def add(item: str, session: CurrentSession) -> int | None:
        return await session.append("cart", item)

    @app.post("/theme")
    def synchronous(theme: str, session: CurrentSession) -> None:
        session["theme"] = theme

    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user

    @app.get("/orders", dependencies=[Depends(require_user)])
    async def orders() -> list[str]:
        return []

    @app.websocket("/socket")
    async def socket(websocket: FastAPIWebSocket, session: CurrentSession) -> None:
        await websocket.accept()
        await websocket.send_text(str(session.user_id))

    return app


def client_of(manager, *, lazy=True, **options):
    app = shop()
    app.add_middleware(SessionMiddleware, manager=manager, lazy=lazy, **options)
    return Client(app)


@pytest.mark.parametrize("lazy", [True, False])
async def test_from_login_to_logout(single, lazy):
    client = client_of(single.manager(), lazy=lazy)
    assert (await client.post("/cart?item=book")).json == len('["book"]')
    guest = client.session_id
    assert (await client.get("/me")).status == 401
    assert (await client.post("/login?name=alice")).status == 200
    assert client.session_id != guest
    assert (await client.get("/me")).json == "alice"
    assert (await client.get("/orders")).json == []
    assert (await client.get("/cart")).json == ["book"]
    await client.post("/logout")
    assert client.session_id is None
    assert (await client.get("/orders")).status == 401


async def test_strangers_get_status_401(single):
    response = await client_of(single.manager()).get("/me")
    assert (response.status, response.json) == (401, {"detail": "Not logged in"})
    assert response.header("www-authenticate") == "SessionCookie"
    assert response.header("vary") == "Cookie"
    assert response.header("set-cookie") is None


async def test_a_route_without_the_session_costs_nothing(single):
    calls = []

    async def note(call):
        calls.append(call.operation.name)

    client = client_of(single.intercepted(note))
    await client.post("/cart?item=book")
    calls.clear()
    response = await client.get("/health")
    assert (calls, response.header("vary")) == ([], None)
    await client.get("/cart")
    assert calls == ["load"]


async def test_synchronous_routes_can_write(single):
    manager = single.manager()
    client = client_of(manager)
    await client.post("/theme?theme=dark")
    found = await manager.get_session_metadata(client.session_id)
    assert found.custom_metadata == {"theme": "dark"}


async def test_websockets_get_the_session(single):
    client = client_of(single.manager())
    await client.post("/login?name=alice")
    socket = WebSocket(client, "/socket")
    assert (await socket.receive())["type"] == "websocket.accept"
    assert (await socket.receive())["text"] == "alice"


async def test_an_outage_is_status_503(single):
    async def fail(call):
        raise SessionUnavailableError("the store is down")

    client = client_of(single.manager())
    await client.post("/login?name=alice")
    session_id = client.session_id
    broken = client_of(single.intercepted(fail))
    broken.cookies = client.cookies
    for path in ("/me", "/cart"):
        assert (await broken.get(path)).status == 503
    assert (await broken.get("/health")).status == 200
    assert client.session_id == session_id


async def test_without_the_middleware_the_error_names_it():
    with pytest.raises(RuntimeError, match="SessionMiddleware"):
        await Client(shop()).get("/cart")


def test_openapi_describes_the_cookie():
    schema = shop().openapi()
    assert schema["components"]["securitySchemes"] == {
        "SessionCookie": {"type": "apiKey", "in": "cookie", "name": "__Host-session"}
    }
    for method, path in (("get", "/cart"), ("post", "/cart"), ("get", "/me"), ("get", "/orders")):
        assert schema["paths"][path][method]["security"] == [{"SessionCookie": []}]
    assert "security" not in schema["paths"]["/health"]["get"]
    assert SessionCookie("sid").model.name == "sid"
