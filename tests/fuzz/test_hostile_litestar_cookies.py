"""Hostile cookies of Litestar's sessions: none is a session, an error, or a line in a log."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("litestar")

from litestar import Litestar, Request, get

from chuk_sessions.integrations.litestar import ChukSessionConfig, session_of
from tests.fuzz.cases import FUZZ
from tests.fuzz.logs import all_lines
from tests.fuzz.test_hostile_cookies import NAME, Shop, hostile_value, sent


class LitestarShop(Shop):
    """The shop as an application of Litestar."""

    def __init__(self) -> None:
        super().__init__()

        @get("/")
        async def show(request: Request[Any, Any, Any]) -> None:
            session = session_of(request)
            self.seen = {"values": dict(request.session), "user": session.user_id, "is_new": session.is_new}

        config = ChukSessionConfig(manager=self.manager)
        options: dict[str, Any] = {"openapi_config": None, "logging_config": None}
        self.middleware: Any = Litestar([show], on_app_init=[config.on_app_init], **options)

    async def send(self, message) -> None:
        if message["type"] == "http.response.start":
            await super().send(message)

    def scope(self, headers):
        app = {"app": self.middleware, "state": {}, "query_string": b"", "path": "/", "raw_path": b"/", "root_path": ""}
        return {**super().scope(headers), **app, "client": ("127.0.0.1", 1), "server": ("testserver", 80)}


@pytest.fixture(scope="module")
def shop():
    shop = LitestarShop()
    with all_lines() as shop.lines:
        yield shop
    shop.loop.close()


@FUZZ
@given(st.data())
def test_any_value_is_no_litestar_session(shop, data):
    value = hostile_value(data.draw, shop.victim)
    shop.lines.clear()
    shop.get(NAME + b"=" + value)
    assert shop.status == 200
    assert shop.seen == {"values": {}, "user": None, "is_new": True}
    assert shop.lines == []


@FUZZ
@given(st.lists(st.one_of(st.binary(max_size=100), st.just(NAME), st.just(NAME + b"=")), max_size=4))
def test_any_header_is_no_litestar_session(shop, headers):
    shop.lines.clear()
    shop.get(*headers)
    assert (shop.status, shop.seen["is_new"]) == (200, True)
    assert shop.lines == []


def test_the_victims_session_can_be_seen_in_litestar(shop):
    shop.get(NAME + b"=" + sent(shop.victim))
    assert shop.seen == {"values": {"secret": 1}, "user": "alice", "is_new": False}
