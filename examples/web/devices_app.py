"""A devices page on Starlette. Run `SESSION_PROVIDER=redis uvicorn examples.web.devices_app:app`."""

import time

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Scope

from chuk_sessions import SessionManager
from chuk_sessions.devices import DevicesApp, remember_device
from chuk_sessions.integrations.asgi import SessionMiddleware

SIGN_IN = '<!doctype html><html lang="en"><title>Sign in</title><h1>Sign in</h1>' + (
    '<form method="post"><label>Name <input name="user"></label> <button>Sign in</button></form>'
)
manager = SessionManager("devices-example")


async def show_form(request: Request) -> Response:
    return HTMLResponse(SIGN_IN)


async def sign_in(request: Request) -> Response:
    async with request.form() as form:
        user = str(form["user"])
    await request.session.login(user)  # type: ignore[attr-defined]  # Check the password first.
    request.session["confirmed_at"] = int(time.time())
    remember_device(request.scope, request.session)
    return RedirectResponse("/devices/", 303)


async def reauthenticate(scope: Scope) -> str | None:
    """Ask for the password again ten minutes after the last time."""
    return None if time.time() - scope["session"].get("confirmed_at", 0) < 600 else "/sign-in"


devices = DevicesApp(manager, reauthenticate=reauthenticate, sign_in_url="/sign-in")
app = Starlette(
    routes=[
        Route("/sign-in", show_form),
        Route("/sign-in", sign_in, methods=["POST"]),
        Mount("/devices", devices),
    ]
)
app.add_middleware(SessionMiddleware, manager=manager)
