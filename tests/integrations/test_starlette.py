"""Starlette: background tasks, streams, error handlers, and other middleware, which its own tests leave out."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

from chuk_sessions.integrations.asgi import SessionMiddleware
from tests.integrations.asgi_client import Client, WebSocket


async def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return JSONResponse(request.session)


async def forbidden(request):
    request.session["attempts"] = 1
    raise HTTPException(403)


async def bug(request):
    request.session["lost"] = 1
    raise KeyError("a bug")


async def background(request):
    async def later():
        request.session["done"] = True
        await request.session.save()

    return JSONResponse(None, background=BackgroundTask(later))


async def stream(request):
    async def parts():
        yield b"1"
        await request.session.append("parts", 1)
        yield b"2"

    return StreamingResponse(parts())


async def socket(websocket):
    websocket.session["socket"] = True
    await websocket.accept()
    await websocket.close()


class Timing(BaseHTTPMiddleware):
    """Middleware of the kind that most applications have."""

    async def dispatch(self, request, call_next):
        request.session["timed"] = True
        return await call_next(request)


def client_of(manager, *more, **options):
    routes = [Route(f"/{view.__name__}", view) for view in (count, forbidden, bug, background, stream)]
    routes += [WebSocketRoute("/socket", socket), Mount("/mounted", routes=[Route("/count", count)])]
    middleware = [Middleware(SessionMiddleware, manager=manager, **options), *more]
    return Client(Starlette(routes=routes, middleware=middleware))


async def stored(manager, client):
    return (await manager.get_session_metadata(client.session_id)).custom_metadata


async def test_views_and_mounted_views_share_the_session(single):
    client = client_of(single.manager())
    for path in ("/count", "/mounted/count", "/count"):
        response = await client.get(path)
    assert response.json == {"count": 3}
    assert response.header("vary") == "Cookie"


async def test_responses_of_error_handlers_save_the_session(single):
    manager = single.manager()
    client = client_of(manager)
    assert (await client.get("/forbidden")).status == 403
    assert await stored(manager, client) == {"attempts": 1}


async def test_a_bug_saves_nothing(single):
    manager = single.manager()
    client = client_of(manager)
    await client.get("/count")
    with pytest.raises(KeyError):
        await client.get("/bug")
    assert await stored(manager, client) == {"count": 1}


async def test_background_tasks_and_streams_can_save(single):
    manager = single.manager()
    client = client_of(manager)
    await client.get("/count")
    await client.get("/background")
    assert (await client.get("/stream")).body == b"12"
    assert await stored(manager, client) == {"count": 1, "done": True, "parts": [1]}


async def test_other_middleware_can_use_the_session(single):
    client = client_of(single.manager(), Middleware(Timing))
    await client.get("/count")
    assert (await client.get("/count")).json == {"count": 2, "timed": True}


async def test_websockets_have_the_session(single):
    manager = single.manager()
    client = client_of(manager)
    handshake = WebSocket(client, "/socket")
    assert (await handshake.receive())["type"] == "websocket.accept"
    await handshake.task
    assert await stored(manager, client) == {"socket": True}


def test_each_request_may_have_an_event_loop_of_its_own(server, monkeypatch):
    monkeypatch.setenv("SESSION_PROVIDER", "redis")
    monkeypatch.setenv("SESSION_REDIS_URL", server.url)
    client = client_of(None)
    found = [asyncio.run(client.get("/count")).json for _ in range(3)]
    assert found[-1] == {"count": 3}
