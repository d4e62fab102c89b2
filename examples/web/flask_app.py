"""A shop with Flask. Run `SESSION_PROVIDER=redis SECRET_KEY=… gunicorn --workers 2 examples.web.flask_app:app`."""

import os
from math import ceil
from typing import Any

from flask import Flask, abort, request
from flask_wtf.csrf import CSRFProtect, generate_csrf

from chuk_sessions.integrations.flask import ChukSessions, session

app = Flask(__name__)
app.config.update(SESSION_COOKIE_NAME="__Host-session", SESSION_COOKIE_SECURE=True, SESSION_PERMANENT=True)
app.secret_key = os.environ["SECRET_KEY"]  # Flask-WTF signs its tokens with it.
ChukSessions(app)
CSRFProtect(app)


@app.get("/csrf")
def token() -> dict[str, Any]:
    return {"csrf": generate_csrf()}


@app.post("/login")
def log_in() -> dict[str, Any]:
    session.login(request.json["user"])  # Check the password first.
    return {"user": session.user_id}


@app.post("/logout")
def log_out() -> str:
    session.logout()
    return "Goodbye!"


@app.post("/logout-others")
def log_out_my_other_devices() -> dict[str, Any]:
    return {"revoked": session.revoke_other_sessions() if session.user_id else abort(401)}


@app.get("/cart")
def cart() -> dict[str, Any]:
    return {"user": session.user_id, "items": session.get("cart", []), "worker": os.getpid()}


@app.post("/cart")
def add_to_cart() -> dict[str, Any]:
    if session.append("cart", request.json["item"]) is None:
        abort(401)  # Another request has logged this device out.
    return cart()


@app.post("/checkout")
def checkout() -> Any:
    limit = session.rate_limit("checkout", 3, per_seconds=60) if session.user_id else abort(401)
    if not limit:
        return {}, 429, {"Retry-After": ceil(limit.retry_after)}
    return {"remaining": limit.remaining}
