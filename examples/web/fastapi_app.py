"""A shop with FastAPI: a cart, login and logout, logging out other devices, and a rate limit.

Worker processes share the sessions on a Redis or Valkey server:
`SESSION_PROVIDER=redis uvicorn --app-dir examples/web --workers 2 fastapi_app:app`
"""

from math import ceil
from secrets import compare_digest
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException

from chuk_sessions.integrations.asgi import SessionMiddleware
from chuk_sessions.integrations.csrf import CsrfMiddleware
from chuk_sessions.integrations.fastapi import CurrentSession, CurrentUser

PASSWORDS = {"alice": "wonderland", "bob": "builder"}

app = FastAPI()
app.add_middleware(CsrfMiddleware)
app.add_middleware(SessionMiddleware, lazy=True)


@app.get("/")
async def show(session: CurrentSession) -> dict[str, Any]:
    return {"user": session.user_id, "cart": session.get("cart", [])}


@app.post("/cart/{item}")
async def add_to_cart(item: str, session: CurrentSession) -> None:
    await session.append("cart", item, max_bytes=10_000)  # no concurrent addition is lost


@app.post("/login")
async def login(name: Annotated[str, Body()], password: Annotated[str, Body()], session: CurrentSession) -> None:
    if name not in PASSWORDS or not compare_digest(PASSWORDS[name].encode(), password.encode()):
        raise HTTPException(403, "wrong name or password")
    await session.login(name)  # under a new id; a guest's cart stays


@app.post("/logout")
async def logout(session: CurrentSession) -> None:
    await session.logout()


@app.post("/logout-others")
async def log_out_other_devices(user: CurrentUser, session: CurrentSession) -> int:
    return await session.revoke_other_sessions()


@app.get("/search")
async def search(user: CurrentUser, session: CurrentSession) -> str:
    limit = await session.rate_limit("search", limit=5, per_seconds=60)
    if not limit:
        raise HTTPException(429, headers={"Retry-After": str(ceil(limit.retry_after))})
    return f"results for {user}"
