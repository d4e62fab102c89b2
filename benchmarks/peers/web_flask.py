"""The web peers on Flask: the views of `web_starlette`, with the sessions that WEB_SESSIONS names."""

from __future__ import annotations

import os
import time
from typing import Any

from flask import Flask, request, session

SESSIONS, URL = os.environ["WEB_SESSIONS"], os.environ["WEB_URL"]
PRICE_SECONDS = 0.01

app = Flask(__name__)
app.config.update(SECRET_KEY="secret" * 8, SESSION_PERMANENT=True)
if SESSIONS == "chuk-sessions":
    from chuk_sessions.integrations.flask import ChukSessions

    app.config["SESSION_REDIS_URL"] = URL
    ChukSessions(app)
elif SESSIONS == "Flask-Session":
    import redis
    from flask_session import Session

    app.config.update(SESSION_TYPE="redis", SESSION_REDIS=redis.Redis.from_url(URL))
    Session(app)


@app.get("/nothing")
def nothing() -> Any:
    """Reply without the session."""
    return {"visits": 0}


@app.get("/read")
def read() -> Any:
    """Read the session."""
    return {"visits": session.get("visits", 0)}


@app.get("/count")
def count() -> Any:
    """Count a visit, as all packages document it."""
    session["visits"] = session.get("visits", 0) + 1
    return {"visits": session["visits"]}


@app.get("/cart")
def cart() -> Any:
    """Add an item to the cart, by the package's best means."""
    if SESSIONS == "chuk-sessions":
        time.sleep(PRICE_SECONDS)
        session.append("cart", request.args["item"])  # type: ignore[attr-defined]
        return {}
    return rewritten_cart()


@app.get("/rewritten_cart")
def rewritten_cart() -> Any:
    """Add an item to the cart, by reading the list and writing it back."""
    found = session.get("cart", [])
    time.sleep(PRICE_SECONDS)
    session["cart"] = [*found, request.args["item"]]
    return {}


@app.get("/items")
def items() -> Any:
    """Return the number of items in the cart."""
    return {"items": len(session.get("cart", []))}


@app.get("/cpu")
def cpu() -> Any:
    """Return the CPU seconds of this process."""
    return {"cpu": time.process_time()}
