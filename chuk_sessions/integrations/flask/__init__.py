"""Flask: server-side sessions as `flask.session`, with logins, and without lost changes of concurrent requests.

    from chuk_sessions.integrations.flask import ChukSessions, session

    app = Flask(__name__)
    ChukSessions(app)

    @app.post("/login")
    def login() -> str:
        session.login("alice")

`session` is `flask.session` with the type `FlaskSession`, so that type checkers know its further methods. The
environment or the configuration names the store; see `ChukSessions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import flask

from .extension import ChukSessions
from .flask_session import FlaskSession
from .interface import ChukSessionInterface

if TYPE_CHECKING:
    session: FlaskSession
else:
    session = flask.session

__all__ = ["ChukSessionInterface", "ChukSessions", "FlaskSession", "session"]
