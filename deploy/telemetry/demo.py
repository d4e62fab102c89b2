"""A demo: one process with everything that has metrics, under a little load.

    python -m deploy.telemetry.demo --url redis://localhost:6379 --port 9100

It needs the extras redis, webhooks, encryption, and prometheus. Its sessions are in the sandbox `demo`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from chuk_sessions import SessionManager
from chuk_sessions.cache import LocalCache
from chuk_sessions.encryption import Encryption, generate_key
from chuk_sessions.events import SessionEvents, Survey, WebhookEndpoints, WebhookRelay
from chuk_sessions.exceptions import SessionError
from chuk_sessions.providers import redis
from chuk_sessions.telemetry.server import serving

SANDBOX = "demo"
USERS = 50


def encryption() -> Encryption:
    """Return the encryption of the demo, whose keys are lost with it."""
    keys = {"2026-01": generate_key(), "2026-02": generate_key(), "index": generate_key()}
    return Encryption(keys, primary="2026-02")


async def visit(manager: SessionManager, cached: SessionManager, pause: float) -> None:
    """Act as a user: log in, look at pages, and leave."""
    user_id = f"user-{random.randrange(USERS)}"
    with suppress(SessionError):
        session_id = await manager.allocate_session(user_id=user_id, custom_metadata={"cart": []}, ttl_hours=0.004)
        for _ in range(random.randrange(10, 60)):
            with suppress(SessionError):
                await cached.load_session(session_id)
                if random.random() < 0.3:
                    await manager.validate_session(session_id if random.random() < 0.9 else f"{session_id[:-4]}AAAA")
                if random.random() < 0.1:
                    await manager.update_session_metadata(session_id, {"cart": ["book"]})
            await asyncio.sleep(random.uniform(0.5, 1.5) * pause)
        end = random.random()
        if end < 0.4:
            await manager.delete_session(session_id)
        elif end < 0.5:
            await manager.revoke_user_sessions(user_id)


async def repeat(work: Any) -> None:
    """Run a coroutine function again and again."""
    while True:
        await work()


async def read(source: Any) -> None:
    """Read all events."""
    async with SessionEvents(source, reader="mailer") as events:
        async for _ in events:
            await asyncio.sleep(0.002)


@asynccontextmanager
async def receiver() -> AsyncIterator[str]:
    """Run a server that accepts most messages. Yields its URL."""

    async def accept(_: web.Request) -> web.Response:
        return web.Response(status=200 if random.random() < 0.9 else 503)

    application = web.Application()
    application.router.add_post("/", accept)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def run(url: str, port: int, callers: int, pause: float) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    factory, secret = redis.factory(url, call_timeout=1.0), encryption()
    options: dict[str, Any] = {
        "events": True,
        "encryption": secret,
        "max_sessions_per_user": 5,
        "touch_interval_seconds": 60,
    }
    async with AsyncExitStack() as stack:
        manager = await stack.enter_async_context(SessionManager(SANDBOX, factory, **options))
        cache = LocalCache(max_sessions=40)
        cached = await stack.enter_async_context(SessionManager(SANDBOX, factory, local_cache=cache, **options))
        endpoints = await stack.enter_async_context(WebhookEndpoints(factory))
        target = await stack.enter_async_context(receiver())
        for address in (target, "http://127.0.0.1:9/"):
            await endpoints.add(address, allow_private=True, types=["session.ended"])
        relay = await stack.enter_async_context(WebhookRelay(factory, encryption=secret))
        await stack.enter_async_context(Survey(factory, sandboxes=[SANDBOX], interval_seconds=0.5))
        stack.enter_context(serving("127.0.0.1", port, manager, relay))
        works: list[Coroutine[Any, Any, None]] = [read(factory)]
        works += [repeat(lambda: visit(manager, cached, pause)) for _ in range(callers)]
        tasks = [asyncio.create_task(work) for work in works]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--port", type=int, required=True, help="of the metrics")
    parser.add_argument("--callers", type=int, default=20, help="concurrent users")
    parser.add_argument("--pause", type=float, default=0.05, help="mean seconds between two requests of a user")
    options = parser.parse_args()
    asyncio.run(run(options.url, options.port, options.callers, options.pause))


if __name__ == "__main__":
    main()
