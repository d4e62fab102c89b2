"""Rate limiting: limits per API client, which any number of gateways enforce together.

It runs on the in-process emulator. To run it on a server, set SESSION_PROVIDER=redis and SESSION_REDIS_URL.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from chuk_sessions import ProviderError, SessionManager

REQUESTS_PER_MINUTE = {"free": 10, "standard": 100, "premium": 1000}


@dataclass(frozen=True)
class Response:
    """An HTTP response: its status and headers."""

    status: int
    headers: dict[str, str]


class Gateway:
    """An API gateway. Each of its hosts has a manager of its own."""

    def __init__(self, manager: SessionManager) -> None:
        self.manager = manager

    async def log_in(self, client: str, tier: str) -> str:
        """Return the id of a session for an API client. The client sends it with each request."""
        return await self.manager.allocate_session(user_id=client, custom_metadata={"tier": tier})

    async def handle(self, session_id: str, request_id: str) -> Response:
        """Respond to a request, unless the client has sent too many.

        One script compares and counts, so hosts cannot race. The idempotency key makes a retried request count once.
        """
        try:
            session = await self.manager.load_session(session_id)
            if session is None:
                return Response(401, {})
            limit = REQUESTS_PER_MINUTE[session.custom_metadata["tier"]]
            result = await self.manager.rate_limit_session(
                session_id, "requests", limit, per_seconds=60, idempotency_key=request_id
            )
        except ProviderError:
            return Response(503, {})  # If the store fails, neither let the request through nor log the client out.
        if result is None:
            return Response(401, {})
        headers = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(result.remaining)}
        if not result.allowed:
            return Response(429, {**headers, "Retry-After": str(math.ceil(result.retry_after))})
        return Response(200, headers)


async def main() -> None:
    """Send more requests at once than a client may."""
    async with SessionManager("api-gateway") as first, SessionManager("api-gateway") as second:
        hosts = [Gateway(first), Gateway(second)]
        session_id = await hosts[0].log_in("client-7", "free")
        responses = await asyncio.gather(
            *(hosts[number % 2].handle(session_id, f"request-{number}") for number in range(50))
        )
        statuses = [response.status for response in responses]
        print("50 requests at once:", statuses.count(200), "allowed,", statuses.count(429), "refused")
        print("try again after", responses[-1].headers["Retry-After"], "seconds")

        session_id = await hosts[0].log_in("client-7", "free")
        for host in hosts:
            response = await host.handle(session_id, "request-0")
            print("the same request:", response.status, "remaining:", response.headers["X-RateLimit-Remaining"])


if __name__ == "__main__":
    asyncio.run(main())
