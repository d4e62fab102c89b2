"""Web requests with the cache: a session that was read before, and not written since, needs no server call."""

from __future__ import annotations

import asyncio
import time

import pytest

from chuk_sessions import LocalCache, sync
from chuk_sessions.integrations.asgi import SessionMiddleware
from chuk_sessions.providers import redis
from tests.cache.tools import cached_at, change_elsewhere, fill, reads_of
from tests.integrations.asgi_client import Client
from tests.integrations.test_asgi import shop


def commands_of(server):
    """Return how many commands the server has run for calls, without heartbeats and the test's own."""
    with server.client() as client:
        counts = client.info("commandstats")
    return sum(
        count["calls"]
        for name, count in counts.items()
        if name.split("_", 1)[1].partition("|")[0] not in ("time", "role", "info", "client", "hello", "config")
    )


async def test_a_request_for_a_session_that_was_read_before_makes_no_server_call(server):
    async with cached_at(server.url) as manager:
        browser = Client(SessionMiddleware(shop, manager=manager))
        await browser.get("/add")
        # The first request reads the session.
        assert (await browser.get("/")).json["values"]["cart"] == ["book"]
        await fill(manager, browser.session_id)
        before = commands_of(server)
        for _ in range(20):
            assert (await browser.get("/")).json["values"] == {"cart": ["book"]}
        assert commands_of(server) == before


async def test_requests_see_their_own_changes_and_those_of_other_processes(server):
    async with cached_at(server.url) as manager:
        browser = Client(SessionMiddleware(shop, manager=manager))
        for number in range(1, 6):
            await browser.get("/add")
            assert (await browser.get("/")).json["values"]["cart"] == ["book"] * number
        change_elsewhere(server, browser.session_id, 7)
        give_up = time.monotonic() + 5
        while (await browser.get("/")).json["values"].get("n") != 7:
            assert time.monotonic() < give_up


async def test_a_logout_elsewhere_counts(server):
    async with cached_at(server.url) as manager, cached_at(server.url) as other:
        browser = Client(SessionMiddleware(shop, manager=manager))
        await browser.get("/login")
        assert (await browser.get("/")).json["user"] == "alice"
        await fill(manager, browser.session_id)
        before = reads_of(server)
        assert (await browser.get("/")).json["user"] == "alice"
        assert reads_of(server) == before
        assert await other.revoke_user_sessions("alice")
        assert (await browser.get("/")).json["user"] is None


def sync_manager(url):
    return sync.SessionManager("test", redis.factory(url), touch_interval_seconds=60, local_cache=LocalCache())


def assert_no_calls(server, manager, session_id, request):
    """Assert that requests for a session that is cached ask the server nothing."""
    give_up = time.monotonic() + 10
    while manager.cached_session(session_id) is None:
        assert request() == "book"
        assert time.monotonic() < give_up
    before = commands_of(server)
    assert [request() for _ in range(10)] == ["book"] * 10
    assert commands_of(server) == before


def test_flask(server):
    flask = pytest.importorskip("flask")
    from chuk_sessions.integrations.flask import ChukSessions

    with sync_manager(server.url) as manager:
        app = flask.Flask("test")
        app.config.update(TESTING=True)
        ChukSessions(app, manager=manager)
        app.add_url_rule("/add", "add", lambda: flask.session.update(cart="book") or "")
        app.add_url_rule("/", "show", lambda: flask.session["cart"])
        client = app.test_client()
        client.get("/add")
        session_id = client.get_cookie("session").value
        assert_no_calls(server, manager, session_id, lambda: client.get("/").text)


@pytest.mark.filterwarnings("ignore:It is recommended to use web")
async def test_aiohttp(server):
    pytest.importorskip("aiohttp_session")
    from tests.integrations.test_aiohttp import browser

    async with cached_at(server.url) as manager, browser(manager) as client:
        response = await client.do(lambda request, session: session.setdefault("cart", "book"))
        assert response.status == 200
        await fill(manager, client.session_id)
        before = commands_of(server)
        assert [await client.values() for _ in range(10)] == [{"cart": "book"}] * 10
        assert commands_of(server) == before


async def test_litestar(server):
    pytest.importorskip("litestar")
    from tests.integrations.test_litestar import client_of

    async with cached_at(server.url) as manager:
        client = client_of(manager)
        await client.post("/add/book")
        await fill(manager, client.session_id)
        before = commands_of(server)
        assert [(await client.get("/")).json for _ in range(10)] == [{"cart": ["book"]}] * 10
        assert commands_of(server) == before


@pytest.mark.parametrize("is_async", [False, True])
def test_django(server, is_async):
    pytest.importorskip("django")
    from django.test import override_settings

    from chuk_sessions.integrations.django import SessionStore, get_async_manager, get_manager
    from tests.integrations import django_project

    assert django_project

    options = {"session_factory": redis.factory(server.url), "touch_interval_seconds": 60, "local_cache": LocalCache()}

    async def use_async(session_id):
        await fill(get_async_manager(), session_id)
        before = commands_of(server)
        for _ in range(10):
            assert await SessionStore(session_id).aget("cart") == "book"
        assert commands_of(server) == before
        await get_async_manager().aclose()

    with override_settings(CHUK_SESSIONS={**options, "sandbox_id": "test"}):
        session = SessionStore()
        session["cart"] = "book"
        session.save()
        if is_async:
            asyncio.run(use_async(session.session_key))
        else:
            assert_no_calls(
                server, get_manager(), session.session_key, lambda: SessionStore(session.session_key)["cart"]
            )
        get_manager().close()
