"""A shop. Run `SESSION_PROVIDER=redis gunicorn -w 2 -k aiohttp.GunicornWebWorker examples.web.aiohttp_app:shop`."""

import os

from aiohttp import typedefs, web

from chuk_sessions.integrations import csrf
from chuk_sessions.integrations.aiohttp import ChukStorage, session_of, setup


async def shop() -> web.Application:
    @web.middleware
    async def protect(request: web.Request, handler: typedefs.Handler) -> web.StreamResponse:
        session, token = await session_of(request), request.headers.get("X-CSRF-Token")
        needs_user = request.path in ("/checkout", "/logout-others")
        if (request.method == "POST" and not csrf.is_valid(session, token)) or (needs_user and session.user_id is None):
            raise web.HTTPForbidden
        return await handler(request)

    app, routes = web.Application(), web.RouteTableDef()
    setup(app, ChukStorage(cookie_name="session", max_age=14 * 24 * 3600))
    app.middlewares.append(protect)

    @routes.get("/csrf")
    async def token(request: web.Request) -> web.StreamResponse:
        return web.json_response({"csrf": csrf.token(await session_of(request))})

    @routes.post("/login")
    async def log_in(request: web.Request) -> web.StreamResponse:
        await (await session_of(request)).login((await request.json())["user"])  # Check the password first.
        return await cart(request)

    @routes.post("/logout")
    async def log_out(request: web.Request) -> web.StreamResponse:
        await (await session_of(request)).logout()
        return await cart(request)

    @routes.post("/logout-others")
    async def log_out_my_other_devices(request: web.Request) -> web.StreamResponse:
        return web.json_response({"revoked": await (await session_of(request)).revoke_other_sessions()})

    @routes.get("/cart")
    async def cart(request: web.Request) -> web.StreamResponse:
        session = await session_of(request)
        return web.json_response({"user": session.user_id, "items": session.get("cart", []), "worker": os.getpid()})

    @routes.post("/cart")
    async def add_to_cart(request: web.Request) -> web.StreamResponse:
        await (await session_of(request)).append("cart", (await request.json())["item"])
        return await cart(request)

    @routes.post("/checkout")
    async def checkout(request: web.Request) -> web.StreamResponse:
        limit = await (await session_of(request)).rate_limit("checkout", 3, per_seconds=60)
        headers = {} if limit else {"Retry-After": str(int(limit.retry_after) + 1)}
        return web.json_response({"remaining": limit.remaining}, status=200 if limit else 429, headers=headers)

    app.add_routes(routes)
    return app
