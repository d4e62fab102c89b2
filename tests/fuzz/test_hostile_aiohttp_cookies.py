"""Hostile cookies of aiohttp's sessions: none is a session, an error, or a line in a log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("aiohttp_session")

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict, CIMultiDictProxy

from chuk_sessions import SessionManager
from chuk_sessions.integrations.aiohttp import ChukStorage, session_of, setup
from chuk_sessions.providers import memory
from tests.fuzz.cases import FUZZ
from tests.fuzz.logs import all_lines
from tests.fuzz.test_hostile_cookies import CHOSEN_ID, hostile_value, sent

pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")

NAME = b"AIOHTTP_SESSION"
NOBODY: dict[str, Any] = {"values": {}, "user": None, "is_new": True}


class Shop:
    """An application that shows its session, and what was logged."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.lines: list[str] = []
        self.seen: dict[str, object] = {}
        manager = SessionManager("fuzz", memory.factory())
        options: dict[str, Any] = {"user_id": "alice", "custom_metadata": {"secret": 1}}
        self.victim = self.loop.run_until_complete(manager.allocate_session(**options))
        self.loop.run_until_complete(manager.allocate_session(CHOSEN_ID, **options))
        self.app = web.Application()
        setup(self.app, ChukStorage(manager=manager, secure=False))
        self.app.add_routes([web.get("/", self.show)])
        self.app.freeze()

    async def show(self, request: web.Request) -> web.Response:
        session = await session_of(request)
        self.seen = {"values": dict(session), "user": session.user_id, "is_new": session.is_new}
        return web.Response()

    def get(self, *headers: bytes) -> int:
        """Send a request with these Cookie headers, decoded as aiohttp does, and return the status."""

        async def respond() -> int:
            decoded = CIMultiDict(("Cookie", header.decode("utf-8", "surrogateescape")) for header in headers)
            request = make_mocked_request("GET", "/", app=self.app)
            request._headers = CIMultiDictProxy(decoded)
            return (await self.app._handle(request)).status

        return self.loop.run_until_complete(respond())


@pytest.fixture(scope="module")
def shop():
    shop = Shop()
    with all_lines() as shop.lines:
        yield shop
    shop.loop.close()


@FUZZ
@given(st.data())
def test_any_value_is_no_aiohttp_session(shop, data):
    value = hostile_value(data.draw, shop.victim)
    shop.lines.clear()
    assert shop.get(NAME + b"=" + value) == 200
    assert shop.seen == NOBODY
    assert shop.lines == []


@FUZZ
@given(st.lists(st.one_of(st.binary(max_size=100), st.just(NAME), st.just(NAME + b"=")), max_size=4))
def test_any_header_is_no_aiohttp_session(shop, headers):
    shop.lines.clear()
    assert (shop.get(*headers), shop.seen) == (200, NOBODY)
    assert shop.lines == []


def test_the_victims_session_can_be_seen_in_aiohttp(shop):
    assert shop.get(NAME + b"=" + sent(shop.victim)) == 200
    assert shop.seen == {"values": {"secret": 1}, "user": "alice", "is_new": False}
