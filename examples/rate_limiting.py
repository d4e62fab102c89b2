"""Rate limiting: a fixed-window limit per API client that stays exact under concurrent requests.

It runs on the in-process emulator. To run it on a server, set SESSION_PROVIDER=redis and SESSION_REDIS_URL.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from chuk_sessions import ProviderError, SessionManager

LIMITS = {"free": 10, "standard": 100, "premium": 1000}
WINDOW_HOURS = 1 / 60


@dataclass
class Gateway:
    """An API gateway with one session per client and window.

    Attributes:
        manager: the manager of the gateway's sandbox. Each host has its own.
        windows: the id of the session that is the client's current window. A real gateway keeps it in the client's
            token.

    """

    manager: SessionManager
    windows: dict[str, str] = field(default_factory=dict[str, str])

    async def open_window(self, client: str, tier: str) -> None:
        """Open a window: a session that expires when the window closes."""
        self.windows[client] = await self.manager.allocate_session(
            user_id=client, ttl_hours=WINDOW_HOURS, custom_metadata={"tier": tier, "limit": LIMITS[tier]}
        )

    async def handle(self, client: str, request_id: str) -> int:
        """Return the HTTP status of a request.

        One atomic script reads the counter, compares it with the ceiling and adds one, so hosts cannot race. The
        idempotency key makes a retried request count once.
        """
        window = self.windows[client]
        try:
            session = await self.manager.get_session_metadata(window)
            if session is None:
                return 401
            limit = int(session.custom_metadata["limit"])
            counter = await self.manager.increment_session_counter(
                window, "requests", ceiling=limit, idempotency_key=request_id
            )
        except ProviderError:
            return 503  # If the store fails, neither let the request through nor log the client out.
        if counter is None:
            return 401
        return 200 if counter else 429


async def main() -> None:
    """Send more requests at once than a client may make."""
    async with SessionManager("api-gateway") as manager:
        gateway = Gateway(manager)
        await gateway.open_window("client-7", "free")

        statuses = await asyncio.gather(*(gateway.handle("client-7", f"request-{number}") for number in range(50)))
        print("50 requests at once:", statuses.count(200), "allowed,", statuses.count(429), "refused")

        await gateway.open_window("client-7", "free")
        first = await gateway.handle("client-7", "request-0")
        again = await gateway.handle("client-7", "request-0")
        session = await manager.get_session_metadata(gateway.windows["client-7"])
        if session is None:
            raise RuntimeError("the window expired at once")
        print("the same request twice:", first, again, "counted:", session.custom_metadata["requests"])


if __name__ == "__main__":
    asyncio.run(main())
