"""A shop with Django. Run `SESSION_PROVIDER=redis SECRET_KEY=… gunicorn --workers 2 examples.web.django_app:app`."""

import json
import os
from math import ceil

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token, rotate_token
from django.urls import path
from django.views.decorators.http import require_POST

ENGINE, CSRF = "chuk_sessions.integrations.django", "django.middleware.csrf.CsrfViewMiddleware"
settings.configure(SECRET_KEY=os.environ["SECRET_KEY"], ALLOWED_HOSTS=["127.0.0.1", "localhost"], ROOT_URLCONF=__name__)
settings.SESSION_ENGINE, settings.MIDDLEWARE = ENGINE, [f"{ENGINE}.ChukSessionMiddleware", CSRF]
settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_SECURE = "__Host-session", True
settings.CSRF_USE_SESSIONS, settings.CSRF_HEADER_NAME = True, "HTTP_X_CSRF_TOKEN"
app = get_wsgi_application()


def token(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"csrf": get_token(request)})


def log_in(request: HttpRequest) -> HttpResponse:
    request.session.login(json.loads(request.body)["user"])  # Check the password first, as django.contrib.auth does.
    rotate_token(request)
    return JsonResponse({"user": request.session.user_id})


def log_out(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    return HttpResponse()


def log_out_my_other_devices(request: HttpRequest) -> HttpResponse:
    is_guest = request.session.user_id is None
    return HttpResponse(status=401) if is_guest else JsonResponse({"revoked": request.session.revoke_other_sessions()})


def cart(request: HttpRequest) -> HttpResponse:
    if request.method == "POST" and request.session.append("cart", json.loads(request.body)["item"]) is None:
        return HttpResponse(status=401)  # Another request has logged this device out.
    cart, worker = request.session.get("cart", []), os.getpid()
    return JsonResponse({"user": request.session.user_id, "items": cart, "worker": worker})


def checkout(request: HttpRequest) -> HttpResponse:
    limit = request.session.user_id and request.session.rate_limit("checkout", 3, per_seconds=60)
    if limit:
        return JsonResponse({"remaining": limit.remaining})
    wait = {} if limit is None else {"Retry-After": str(ceil(limit.retry_after))}
    return HttpResponse(status=429 if wait else 401, headers=wait)


POSTS = {"login": log_in, "logout": log_out, "logout-others": log_out_my_other_devices, "checkout": checkout}
urlpatterns = [path("csrf", token), path("cart", cart), *(path(url, require_POST(POSTS[url])) for url in POSTS)]
