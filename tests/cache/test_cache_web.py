"""Web requests with the cache: a session that was read before, and not written since, needs no server call."""

from __future__ import annotations

import time

from chuk_sessions.integrations.asgi import SessionMiddleware
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
