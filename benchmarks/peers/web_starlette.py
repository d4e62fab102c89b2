"""The web peers on Starlette: one small application, with the sessions that WEB_SESSIONS names.

    uvicorn benchmarks.peers.web_starlette:app

All variants run the same views. Only `cart` differs: chuk-sessions has an operation for it, and with the other packages
a view reads the list, changes it, and writes it back.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SESSIONS, URL = os.environ["WEB_SESSIONS"], os.environ["WEB_URL"]
PRICE_SECONDS = 0.01
"""How long the view `cart` waits for another service, between reading and writing the session."""


def _middleware() -> list[Middleware]:
    if SESSIONS == "chuk-sessions":
        from chuk_sessions.integrations.asgi import SessionMiddleware  # noqa: PLC0415
        from chuk_sessions.providers import redis  # noqa: PLC0415

        return [Middleware(SessionMiddleware, session_factory=redis.factory(URL), https_only=False)]
    if SESSIONS == "Starlette's cookies":
        from starlette.middleware.sessions import SessionMiddleware as CookieMiddleware  # noqa: PLC0415

        return [Middleware(CookieMiddleware, secret_key="secret" * 8)]
    if SESSIONS == "starsessions":
        from starsessions import SessionAutoloadMiddleware  # noqa: PLC0415
        from starsessions import SessionMiddleware as StarsessionsMiddleware  # noqa: PLC0415
        from starsessions.stores.redis import RedisStore  # noqa: PLC0415

        options: dict[str, Any] = {"store": RedisStore(URL), "lifetime": 14 * 24 * 3600, "cookie_https_only": False}
        return [Middleware(StarsessionsMiddleware, **options), Middleware(SessionAutoloadMiddleware)]
    return []


async def nothing(request: Request) -> Response:
    """Reply without the session."""
    return JSONResponse({"visits": 0})


async def read(request: Request) -> Response:
    """Read the session."""
    return JSONResponse({"visits": request.session.get("visits", 0)})


async def count(request: Request) -> Response:
    """Count a visit, as all packages document it."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse({"visits": request.session["visits"]})


async def cart(request: Request) -> Response:
    """Add an item to the cart, by the package's best means."""
    if SESSIONS == "chuk-sessions":
        await asyncio.sleep(PRICE_SECONDS)
        await request.session.append("cart", request.query_params["item"])  # type: ignore[attr-defined]
        return JSONResponse({})
    return await rewritten_cart(request)


async def rewritten_cart(request: Request) -> Response:
    """Add an item to the cart, by reading the list and writing it back."""
    items = request.session.get("cart", [])
    await asyncio.sleep(PRICE_SECONDS)
    request.session["cart"] = [*items, request.query_params["item"]]
    return JSONResponse({})


async def items(request: Request) -> Response:
    """Return the number of items in the cart."""
    return JSONResponse({"items": len(request.session.get("cart", []))})


async def cpu(request: Request) -> Response:
    """Return the CPU seconds of this process."""
    return JSONResponse({"cpu": time.process_time()})


VIEWS = (nothing, read, count, cart, rewritten_cart, items, cpu)
app = Starlette(routes=[Route(f"/{view.__name__}", view) for view in VIEWS], middleware=_middleware())
