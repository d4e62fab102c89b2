"""The web peers on Django: the views of `web_starlette`, with the sessions that WEB_SESSIONS names."""

from __future__ import annotations

import os
import time
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

SESSIONS, URL = os.environ["WEB_SESSIONS"], os.environ["WEB_URL"]
PRICE_SECONDS = 0.01
ENGINES = {
    "chuk-sessions": "chuk_sessions.integrations.django",
    "Django's cache": "django.contrib.sessions.backends.cache",
    "Django's cookies": "django.contrib.sessions.backends.signed_cookies",
}
SESSION_MIDDLEWARE = {"chuk-sessions": "chuk_sessions.integrations.django.ChukSessionMiddleware"}

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": URL}},
    CHUK_SESSIONS={"url": URL},
    MIDDLEWARE=[
        SESSION_MIDDLEWARE.get(SESSIONS, "django.contrib.sessions.middleware.SessionMiddleware"),
        "django.middleware.common.CommonMiddleware",  # without it, a response has no length
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="secret" * 8,
    SESSION_ENGINE=ENGINES[SESSIONS],
)
app = get_wsgi_application()


def nothing(request: HttpRequest) -> HttpResponse:
    """Reply without the session."""
    return JsonResponse({"visits": 0})


def read(request: HttpRequest) -> HttpResponse:
    """Read the session."""
    return JsonResponse({"visits": request.session.get("visits", 0)})


def count(request: HttpRequest) -> HttpResponse:
    """Count a visit, as all packages document it."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


def cart(request: HttpRequest) -> HttpResponse:
    """Add an item to the cart, by the package's best means."""
    if SESSIONS == "chuk-sessions":
        time.sleep(PRICE_SECONDS)
        request.session.append("cart", request.GET["item"])
        return JsonResponse({})
    return rewritten_cart(request)


def rewritten_cart(request: HttpRequest) -> HttpResponse:
    """Add an item to the cart, by reading the list and writing it back."""
    found = request.session.get("cart", [])
    time.sleep(PRICE_SECONDS)
    request.session["cart"] = [*found, request.GET["item"]]
    return JsonResponse({})


def items(request: HttpRequest) -> HttpResponse:
    """Return the number of items in the cart."""
    return JsonResponse({"items": len(request.session.get("cart", []))})


def cpu(request: HttpRequest) -> HttpResponse:
    """Return the CPU seconds of this process."""
    return JsonResponse({"cpu": time.process_time()})


VIEWS: list[Any] = [nothing, read, count, cart, rewritten_cart, items, cpu]
urlpatterns = [path(view.__name__, view) for view in VIEWS]
