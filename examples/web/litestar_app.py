"""A shop with Litestar. Run `SESSION_PROVIDER=redis SECRET_KEY=… uvicorn --workers 2 examples.web.litestar_app:app`."""

import os
from typing import Any

from litestar import Litestar, Request, get, post
from litestar.config.csrf import CSRFConfig
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, TooManyRequestsException

from chuk_sessions.integrations.litestar import ChukSessionConfig, session_of

csrf = CSRFConfig(os.environ["SECRET_KEY"], header_name="x-csrf-token", cookie_secure=True)  # see the cookie csrftoken


def requires_user(connection: ASGIConnection[Any, Any, Any, Any], _: Any) -> None:
    if session_of(connection).user_id is None:
        raise NotAuthorizedException


@get("/cart")
async def cart(request: Request[Any, Any, Any]) -> dict[str, Any]:
    session = session_of(request)
    return {"user": session.user_id, "items": session.get("cart", []), "worker": os.getpid()}


@post("/cart", status_code=200)
async def add_to_cart(request: Request[Any, Any, Any], data: dict[str, str]) -> dict[str, Any]:
    session = session_of(request)
    await session.append("cart", data["item"])
    return {"user": session.user_id, "items": session["cart"]}


@post("/login", status_code=200)
async def log_in(request: Request[Any, Any, Any], data: dict[str, str]) -> dict[str, Any]:
    await session_of(request).login(data["user"])  # Check the password first.
    return {"user": data["user"]}


@post("/logout", status_code=200)
async def log_out(request: Request[Any, Any, Any]) -> None:
    await session_of(request).logout()


@post("/logout-others", status_code=200, guards=[requires_user])
async def log_out_my_other_devices(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"revoked": await session_of(request).revoke_other_sessions()}


@post("/checkout", status_code=200, guards=[requires_user])
async def checkout(request: Request[Any, Any, Any]) -> dict[str, Any]:
    limit = await session_of(request).rate_limit("checkout", 3, per_seconds=60)
    if not limit:
        raise TooManyRequestsException(headers={"Retry-After": str(int(limit.retry_after) + 1)})
    return {"remaining": limit.remaining}


handlers = [cart, add_to_cart, log_in, log_out, log_out_my_other_devices, checkout]
app = Litestar(handlers, on_app_init=[ChukSessionConfig().on_app_init], csrf_config=csrf)
