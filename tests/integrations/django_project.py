"""A Django project for tests, without a database: settings, users, and views."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.test import override_settings

ENGINE = "chuk_sessions.integrations.django"
MIDDLEWARE = f"{ENGINE}.ChukSessionMiddleware"
PASSWORDS = {1: "wonderland", 2: "builder"}

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        AUTHENTICATION_BACKENDS=[f"{__name__}.Backend"],
        CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
        INSTALLED_APPS=[ENGINE, "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
        MIDDLEWARE=[MIDDLEWARE, "django.contrib.auth.middleware.AuthenticationMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="a secret of the tests",
        SESSION_ENGINE=ENGINE,
        USE_TZ=True,
    )
    django.setup()

from django.contrib import auth  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.auth.signals import user_logged_in  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

from chuk_sessions import SessionManager, sync  # noqa: E402
from chuk_sessions.integrations.django import SessionStore, get_async_manager, get_manager  # noqa: E402
from chuk_sessions.providers.factory import Factory  # noqa: E402
from tests.harness.worlds import Intercepted, World  # noqa: E402

# It would write to the database.
user_logged_in.disconnect(dispatch_uid="update_last_login")


def user(pk: int) -> User:
    """Return a user, who is in no database."""
    return User(pk=pk, username=f"user{pk}", password=f"hash {PASSWORDS[pk]}")


class Backend:
    """The authentication of these users."""

    def authenticate(self, request: HttpRequest, pk: int, password: str) -> User | None:
        """Return the user with this password."""
        return user(pk) if PASSWORDS.get(pk) == password else None

    def get_user(self, pk: int) -> User | None:
        """Return the user of a session."""
        return user(pk) if pk in PASSWORDS else None

    async def aget_user(self, pk: int) -> User | None:
        """Return the user of a session."""
        return self.get_user(pk)


class _Shared(Intercepted):
    """The world's backend, whose connections each event loop closes."""

    async def aclose(self) -> None:
        await self._backend.aclose()


class Project:
    """The project with its sessions in a world.

    Attributes:
        calls: the names of the operations that the store was asked for.
        threads: the threads that asked.
        fails: a function that returns the error of an operation, or None if it works.

    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.calls: list[str] = []
        self.threads: set[int] = set()
        self.fails: Callable[[str], Exception | None] = lambda name: None
        self.factory = Factory(_Shared(world.backend, self._before), lambda: None)  # type: ignore[type-var]

    async def _before(self, call: Any) -> None:
        self.calls.append(call.operation.name)
        self.threads.add(threading.get_ident())
        error = self.fails(call.operation.name)
        if error is not None:
            raise error

    def fail(self, error: Exception, *names: str) -> None:
        """Let the operations with these names fail, or all of them."""
        self.fails = lambda name: error if not names or name in names else None

    def work(self) -> None:
        """Let operations work again."""
        self.fails = lambda name: None

    def advance(self, **amount: float) -> None:
        """Advance the world's clock."""
        asyncio.run(self.world.advance(**amount))

    def settings(self, **options: Any) -> override_settings:
        """Return the settings that let sessions use this world."""
        return override_settings(
            CHUK_SESSIONS={"session_factory": self.factory, "sandbox_id": "shop", **options},
        )

    @property
    def manager(self) -> sync.SessionManager:
        """The project's manager."""
        return get_manager()

    @property
    def async_manager(self) -> SessionManager:
        """The project's manager for asynchronous code."""
        return get_async_manager()

    def close(self) -> None:
        """Close the connections of all threads."""
        asyncio.run(self.async_manager.aclose())
        self.manager.close()

    def stored(self, session_key: str | None) -> dict[str, Any] | None:
        """Return the metadata of a session."""
        assert session_key is not None
        found = self.manager.get_session_metadata(session_key)
        return None if found is None else found.custom_metadata

    def saved(self, **values: Any) -> SessionStore:
        """Return a session with these values that was saved."""
        session = SessionStore()
        session.update(values)
        session.save()
        return session


# Views. The body of a request is JSON.


def _body(request: HttpRequest) -> Any:
    return json.loads(request.body or "{}")


def show(request: HttpRequest) -> HttpResponse:
    """Return the values of the session, and the user."""
    values = {key: value for key, value in request.session.items() if not key.startswith("_")}
    return JsonResponse({"values": values, "user": request.user.pk, "owner": request.session.user_id})


def update(request: HttpRequest) -> HttpResponse:
    """Change values, or append to lists, and answer with the status that is asked for."""
    body = _body(request)
    request.session.update(body.get("set", {}))
    for key, item in body.get("append", {}).items():
        request.session[key].append(item)
    if body.get("cycle"):
        request.session.cycle_key()
    if body.get("crash"):
        raise ArithmeticError("the view has a bug")
    return HttpResponse(status=body.get("status", 200))


async def aupdate(request: HttpRequest) -> HttpResponse:
    """Change values in asynchronous code."""
    await request.session.aupdate(_body(request).get("set", {}))
    return HttpResponse()


async def ashow(request: HttpRequest) -> HttpResponse:
    """Return the values of the session in asynchronous code."""
    return JsonResponse({"values": {key: value for key, value in await request.session.aitems() if key[0] != "_"}})


def nothing(request: HttpRequest) -> HttpResponse:
    """Leave the session alone."""
    return HttpResponse("nothing")


async def anothing(request: HttpRequest) -> HttpResponse:
    """Leave the session alone, in asynchronous code."""
    return HttpResponse("nothing")


def login(request: HttpRequest) -> HttpResponse:
    """Log a user in."""
    found = auth.authenticate(request, **_body(request))
    if found is None:
        return HttpResponse(status=403)
    auth.login(request, found)
    return HttpResponse()


async def alogin(request: HttpRequest) -> HttpResponse:
    """Log a user in, in asynchronous code."""
    await auth.alogin(request, user(_body(request)["pk"]))
    return HttpResponse()


def logout(request: HttpRequest) -> HttpResponse:
    """Log the user out."""
    auth.logout(request)
    return HttpResponse()


async def alogout(request: HttpRequest) -> HttpResponse:
    """Log the user out, in asynchronous code."""
    await auth.alogout(request)
    return HttpResponse()


def logout_others(request: HttpRequest) -> HttpResponse:
    """Log out the user's other devices."""
    return JsonResponse(request.session.revoke_other_sessions(), safe=False)


VIEWS = [show, update, aupdate, ashow, nothing, anothing, login, alogin, logout, alogout, logout_others]
urlpatterns = [path(view.__name__, view) for view in VIEWS]
