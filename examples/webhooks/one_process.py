"""Webhooks in one process, on the emulator: a shop, a relay, and a receiver that checks signatures."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from chuk_sessions import SessionManager
from chuk_sessions.events import WebhookEndpoints, WebhookRelay
from chuk_sessions.providers import memory

secret = ""
received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()


async def receive(request: web.Request) -> web.Response:
    """Receive a message. An invalid signature raises an error, and the relay tries again later."""
    body = await request.read()
    Webhook(secret).verify(body, dict(request.headers))
    await received.put(await request.json())
    return web.Response(status=204)


async def main() -> None:
    """Log a user in and out, and print the webhooks about that."""
    global secret
    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    store = memory.factory()
    async with WebhookEndpoints(store) as endpoints, SessionManager("shop", store, events=True) as manager:
        endpoint = await endpoints.add(url, allow_private=True, ordered=True)
        secret = endpoint.secret
        async with WebhookRelay(store):
            session_id = await manager.allocate_session(user_id="alice")
            await manager.delete_session(session_id)
            for _ in range(2):
                message = await received.get()
                print("verified:", message["type"], message["data"]["reason"] or "")
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
