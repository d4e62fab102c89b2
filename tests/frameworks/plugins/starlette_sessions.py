"""A pytest plugin for Starlette's tests: its session middleware and session object are replaced by this library's."""

from __future__ import annotations

from typing import Any

from starlette.middleware import sessions

from chuk_sessions.integrations.asgi import SessionMiddleware
from chuk_sessions.integrations.session import Session


class WithStarlettesDefault(SessionMiddleware):
    """The middleware without `https_only`, as Starlette's default is. The tests send requests over HTTP."""

    def __init__(self, app: Any, *, https_only: bool = False, **options: Any) -> None:
        super().__init__(app, https_only=https_only, **options)


sessions.SessionMiddleware = WithStarlettesDefault  # type: ignore[misc, assignment]
sessions.Session = Session  # type: ignore[misc, assignment]
