"""A shop with FastAPI. Run `SESSION_PROVIDER=redis uvicorn --workers 2 examples.web.fastapi_app:app`."""

import os
from math import ceil
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException

from chuk_sessions import SessionManager
from chuk_sessions.integrations import csrf
from chuk_sessions.integrations.fastapi import CurrentSession, CurrentUser, SessionMiddleware

app = FastAPI()
manager = SessionManager(os.getenv("CHUK_SANDBOX_ID", "web"))
app.add_middleware(csrf.CsrfMiddleware, check_token=True)
app.add_middleware(SessionMiddleware, manager=manager, lazy=True)  # The middleware that is added last runs first.


@app.get("/csrf")
async def token(session: CurrentSession) -> dict[str, Any]:
    return {"csrf": csrf.token(session)}


@app.post("/login")
async def log_in(session: CurrentSession, user: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
    await session.login(user)  # Check the password first.
    return {"user": user}


@app.post("/logout")
async def log_out(session: CurrentSession) -> None:
    await session.logout()


@app.post("/logout-others")
async def log_out_my_other_devices(session: CurrentSession, user: CurrentUser) -> dict[str, Any]:
    return {"revoked": await session.revoke_other_sessions()}


@app.get("/cart")
async def cart(session: CurrentSession) -> dict[str, Any]:
    return {"user": session.user_id, "items": session.get("cart", []), "worker": os.getpid()}


@app.post("/cart")
async def add_to_cart(session: CurrentSession, item: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
    if await session.append("cart", item) is None:
        raise HTTPException(401)  # Another request has logged this device out.
    return await cart(session)


@app.post("/checkout")
async def checkout(session: CurrentSession, user: CurrentUser) -> dict[str, Any]:
    limit = await session.rate_limit("checkout", 3, per_seconds=60)
    if not limit:
        raise HTTPException(429, headers={"Retry-After": str(ceil(limit.retry_after))})
    return {"remaining": limit.remaining}
