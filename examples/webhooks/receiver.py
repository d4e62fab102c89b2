"""A receiver of webhooks: adds itself as an endpoint, checks the signature of each message, and prints what it says.

Set SESSION_REDIS_URL to the store, unless it is on this machine. Stop it with Ctrl-C.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from chuk_sessions.events import WebhookEndpoints
from chuk_sessions.providers import redis

seen: set[str] = set()
"""Ids of messages that were handled. A real receiver has a table of them, because messages can arrive twice."""


def handle(message_id: str, message: dict[str, Any]) -> None:
    """Handle a message once."""
    if message_id not in seen:
        seen.add(message_id)
        data = message["data"]
        print("verified:", message["type"], data["reason"] or "", data["user_id"], flush=True)


async def main() -> None:
    """Serve until the process is interrupted."""
    async with WebhookEndpoints(redis.factory()) as endpoints:
        secret = ""

        async def receive(request: web.Request) -> web.Response:
            body = await request.read()
            try:
                Webhook(secret).verify(body, dict(request.headers))
            except WebhookVerificationError:
                return web.Response(status=401)
            handle(request.headers["webhook-id"], await request.json())
            return web.Response(status=204)

        app = web.Application()
        app.router.add_post("/hook", receive)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        # A receiver on the internet has a URL with https, and needs no allow_private.
        endpoint = await endpoints.add(f"http://127.0.0.1:{port}/hook", allow_private=True, ordered=True)
        secret = endpoint.secret
        print("waiting for webhooks as the endpoint", endpoint.id, flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await endpoints.remove(endpoint.id)
            await runner.cleanup()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("stopped")
