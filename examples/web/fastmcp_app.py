"""An MCP shop: `SESSION_PROVIDER=redis FASTMCP_STATELESS_HTTP=1 uvicorn --workers 2 examples.web.fastmcp_app:app`."""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.dependencies import get_session
from fastmcp.server.sessions import SessionId, SessionProvider

from chuk_sessions import SessionManager
from chuk_sessions.integrations.key_value import ChukStore
from chuk_sessions.integrations.session import Session


class Shop:
    customers = SessionManager("shop")

    @asynccontextmanager
    async def customer(self, session_id: str) -> AsyncGenerator[Session]:
        conversation = await get_session(session_id)  # Agents never see the id of the customer's session in it.
        session = Session(manager=self.customers, session_id=await conversation.get("customer"))
        await session.load()
        yield session
        if session.cookie is not None:
            await conversation.set("customer", session.cookie.value)

    async def login(self, session_id: SessionId, user: str) -> None:
        async with self.customer(session_id) as session:
            await session.login(user)  # Check who it is first.

    async def logout(self, session_id: SessionId) -> None:
        async with self.customer(session_id) as session:
            await session.logout()

    async def logout_others(self, session_id: SessionId) -> dict[str, object]:
        async with self.customer(session_id) as session:
            return {"revoked": await session.revoke_other_sessions()}

    async def cart(self, session_id: SessionId) -> dict[str, object]:
        async with self.customer(session_id) as session:
            return {"user": session.user_id, "items": session.get("cart", []), "worker": os.getpid()}

    async def add(self, session_id: SessionId, item: str) -> None:
        async with self.customer(session_id) as session:
            await session.append("cart", item)

    async def checkout(self, session_id: SessionId) -> dict[str, object]:
        async with self.customer(session_id) as session:
            limit = await session.rate_limit("checkout", 3, per_seconds=60)
            if not limit:
                raise ToolError(f"Try again in {limit.retry_after:.0f} seconds.")
            return {"remaining": limit.remaining}


shop = Shop()
tools: list[Callable[..., object]] = [shop.login, shop.logout, shop.logout_others, shop.cart, shop.add, shop.checkout]
app = FastMCP("shop", tools=tools, session_state_store=ChukStore(), providers=[SessionProvider()]).http_app()
