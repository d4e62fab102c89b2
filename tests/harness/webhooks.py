"""Events and relays for tests of webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from chuk_sessions.events import Endpoint, WebhookEndpoints, WebhookRelay
from tests.harness.receiver import Receiver
from tests.harness.worlds import World

QUICK = {"poll_seconds": 0.02}


class Webhooks:
    """The webhooks of a world."""

    def __init__(self, world: World, **options: Any) -> None:
        self.world = world
        self.endpoints = WebhookEndpoints(world.factory, clock=lambda: world.clock.now_ms() / 1000, **options)

    async def add(self, receiver: Receiver, **options: Any) -> Endpoint:
        """Add an endpoint for a receiver on the loopback."""
        return await self.endpoints.add(receiver.url, **{"allow_private": True, **options})

    @asynccontextmanager
    async def relay(self, **options: Any) -> AsyncIterator[WebhookRelay]:
        """Run a relay."""
        async with WebhookRelay(self.world.factory, **{**QUICK, **options}) as relay:
            yield relay

    async def end_sessions(self, number: int = 1, user_id: str | None = "alice", sandbox_id: str = "test") -> list[str]:
        """Create sessions, end them, and return their ids."""
        manager = self.world.manager(sandbox_id, events=True)
        found = [await manager.allocate_session(user_id=user_id) for _ in range(number)]
        for session_id in found:
            assert await manager.delete_session(session_id)
        return found
