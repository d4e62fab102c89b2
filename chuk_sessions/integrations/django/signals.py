"""The login: `django.contrib.auth` binds the session to the user who logs in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest

from .store import SessionStore


def bind_owner(sender: Any, request: HttpRequest | None, user: Any, **_: Any) -> None:
    """Bind the session to the user, if it is the session that was logged in, and not, for example, a token.

    If that fails, the user is logged out again, and the error propagates.
    """
    session = getattr(request, "session", None)
    if not isinstance(session, SessionStore):
        return
    if session.get(SESSION_KEY) != user._meta.pk.value_to_string(user):
        return
    try:
        session.login(str(user.pk))
    except Exception:
        _undo(request, session)
        raise


def _undo(request: Any, session: SessionStore) -> None:
    from django.contrib.auth.models import AnonymousUser  # noqa: PLC0415  (models need the settings)

    for key in (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY):
        session.pop(key, None)
    user = AnonymousUser()
    if hasattr(request, "user"):
        request.user = user
    if hasattr(request, "auser"):

        async def auser() -> AnonymousUser:
            return user

        request.auser = auser


user_logged_in.connect(bind_owner, dispatch_uid="chuk_sessions.bind_owner")
