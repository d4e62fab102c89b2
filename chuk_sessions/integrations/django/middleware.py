"""The middleware of the Django integration: Django's, with an answer to outages, and without threads in async code."""

from __future__ import annotations

import logging
import time
from typing import Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.http import http_date

from ... import ProviderError
from ..asgi import OUTAGES
from ..cookies import ids_in, is_acceptable, value_of
from ..lifecycle import Steps
from .config import config
from .store import SessionStore

_SERVER_ERRORS: Final = 500
_UNAVAILABLE: Final = 503
_TEXT: Final = "The session store is unavailable. Try again later.\n"
_INTERRUPTED: Final = (
    "The request's session was deleted before the request completed. "
    "The user may have logged out in a concurrent request, for example."
)

_logger = logging.getLogger("chuk_sessions.integrations")


class ChukSessionMiddleware(SessionMiddleware):  # type: ignore[misc]
    """The session middleware, instead of Django's. It behaves like that one, and besides:

    - Only keys of the form that the library generates are accepted from cookies.
    - A cookie without a session is left alone, because the response to a concurrent login may replace it.
    - A failure of the store is answered with status 503. The client keeps its cookie.
    - A client gets the new key of its session even if the request then fails, because the old one is invalid.
    - A response that depends on the session gets `Cache-Control: private, no-cache`, unless it has that header.
    - Under ASGI, no thread is used.
    """

    def outage_response(self, request: HttpRequest, error: ProviderError) -> HttpResponse:
        """Return the response to a request whose session cannot be read or saved. Subclasses may replace it."""
        headers = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
        return HttpResponse(_TEXT, status=_UNAVAILABLE, headers=headers)

    def process_request(self, request: HttpRequest) -> None:
        """Create the session object; nothing is sent."""
        cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        if cookie is None or not is_acceptable(cookie):
            request.session = self.SessionStore(None)
            return
        session_key, successor = ids_in(cookie)
        request.session = self.SessionStore(session_key)
        if successor is not None:
            request.session.successor = successor

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        if self.async_mode:
            return self.__acall__(request)
        self.process_request(request)
        try:
            response = self.get_response(request)
        except OUTAGES as error:
            response = self._response_to(request, error)
        return self.process_response(request, response)

    async def __acall__(self, request: HttpRequest) -> HttpResponse:
        self.process_request(request)
        try:
            response = await self.get_response(request)
        except OUTAGES as error:
            response = self._response_to(request, error)
        session = getattr(request, "session", None)
        if isinstance(session, SessionStore):
            return await session._arun(self._finish_steps(request, response, session))
        return await sync_to_async(super().process_response)(request, response)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Save the session, and set or delete its cookie."""
        session = getattr(request, "session", None)
        if isinstance(session, SessionStore):
            return session._run(self._finish_steps(request, response, session))
        return super().process_response(request, response)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a failure of the store that a view has not caught."""
        session = getattr(request, "session", None)
        if isinstance(session, SessionStore) and session.outage is exception:
            return self.outage_response(request, session.outage)
        return None

    def _response_to(self, request: HttpRequest, error: ProviderError) -> HttpResponse:
        """Answer a failure of the store that not even Django's error page has survived, because it has a CSRF token."""
        response = self.process_exception(request, error)
        if response is None:
            raise error
        return response

    def _finish_steps(self, request: HttpRequest, response: HttpResponse, session: SessionStore) -> Steps[HttpResponse]:
        is_saved = False
        if session.outage is not None and response.status_code >= _SERVER_ERRORS:
            response = self._refused(request, response, session.outage)
        elif response.status_code < _SERVER_ERRORS:
            response, is_saved = yield from self._save_steps(request, response, session)
        must_delete = session.is_deleted and session.is_empty() and settings.SESSION_COOKIE_NAME in request.COOKIES
        if must_delete:
            _delete_cookie(response)
        elif is_saved or (session.is_rotated and session.session_key and not session.is_lost):
            _set_cookie(response, session)
        if session.accessed or is_saved or must_delete:
            _mark_private(response)
        return response

    def _save_steps(
        self, request: HttpRequest, response: HttpResponse, session: SessionStore
    ) -> Steps[tuple[HttpResponse, bool]]:
        """Save the session if it must be. Return the response, and whether it was saved."""
        try:
            if settings.SESSION_SAVE_EVERY_REQUEST and session.session_key:
                yield from session._data_steps()
            must_save = settings.SESSION_SAVE_EVERY_REQUEST or session.modified
            if not must_save or session.is_empty() or session.is_unavailable or session.is_lost:
                return response, False
            yield from session._save_steps()
        except UpdateError:
            raise SessionInterrupted(_INTERRUPTED) from None
        except OUTAGES as error:
            if config().serve_without_session:
                _logger.warning("changes of a session are dropped: %s", error)
                return response, False
            return self._refused(request, response, error), False
        return response, True

    def _refused(self, request: HttpRequest, response: HttpResponse, error: ProviderError) -> HttpResponse:
        _logger.error("a request is refused, because the session store failed: %s", error)
        return response if response.status_code == _UNAVAILABLE else self.outage_response(request, error)


def _set_cookie(response: HttpResponse, session: SessionStore) -> None:
    max_age = expires = None
    if not session.get_expire_at_browser_close():
        max_age = session.get_expiry_age()
        expires = http_date(time.time() + max_age)
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        value_of(session.session_key, session.successor),
        max_age=max_age,
        expires=expires,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE or None,
        httponly=settings.SESSION_COOKIE_HTTPONLY or None,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )


def _delete_cookie(response: HttpResponse) -> None:
    response.delete_cookie(
        settings.SESSION_COOKIE_NAME,
        path=settings.SESSION_COOKIE_PATH,
        domain=settings.SESSION_COOKIE_DOMAIN,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )
    if settings.SESSION_COOKIE_SECURE:
        # Django repeats these attributes for some names only, and browsers may reject the header in other cases, too.
        cookie = response.cookies[settings.SESSION_COOKIE_NAME]
        cookie["secure"], cookie["httponly"] = True, settings.SESSION_COOKIE_HTTPONLY


def _mark_private(response: HttpResponse) -> None:
    patch_vary_headers(response, ("Cookie",))
    if not response.has_header("Cache-Control"):
        patch_cache_control(response, private=True, no_cache=True)


__all__ = ["ChukSessionMiddleware"]
