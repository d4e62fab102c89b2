"""Hostile cookies: any Cookie header, random or close to a valid one, is no session, no error, and no line in a log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from chuk_sessions import SessionManager
from chuk_sessions.integrations.asgi import SessionMiddleware
from chuk_sessions.providers import memory
from tests.fuzz.cases import FUZZ
from tests.fuzz.logs import all_lines
from tests.fuzz.test_names import NEAR_GENERATED, NEAR_NAMES, NEAR_REFERENCES

NAME = b"__Host-session"
CHOSEN_ID = "order-17"
"""An id that the application has chosen. It must not be accepted, because it can be guessed."""


class Shop:
    """An application with sessions, and what its last request has seen."""

    def __init__(self) -> None:
        self.manager = SessionManager("fuzz", memory.factory())
        self.middleware: Any = SessionMiddleware(self.app, manager=self.manager)
        self.loop = asyncio.new_event_loop()
        self.victim = self.run(self.manager.allocate_session(user_id="alice", custom_metadata={"secret": 1}))
        self.run(self.manager.allocate_session(CHOSEN_ID, user_id="alice", custom_metadata={"secret": 1}))
        self.lines: list[str] = []
        self.seen: dict[str, object] = {}
        self.status = 0

    async def app(self, scope, receive, send) -> None:
        session = scope["session"]
        self.seen = {"values": dict(session), "user": session.user_id, "is_new": session.is_new}
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(self, message) -> None:
        self.status = message["status"]

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    async def receive(self):
        raise AssertionError("nothing reads the body")

    def get(self, *headers: bytes) -> None:
        """Send a request with these Cookie headers."""
        self.status = 0
        self.run(self.middleware(self.scope(headers), self.receive, self.send))

    def scope(self, headers: Sequence[bytes]) -> dict[str, Any]:
        """Return the scope of a request."""
        return {"type": "http", "method": "GET", "path": "/", "headers": [(b"cookie", text) for text in headers]}


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Return an application whose logs of all levels are kept."""
    shop = Shop()
    with all_lines() as shop.lines:
        yield shop
    shop.loop.close()


def sent(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def mutated(draw: st.DrawFn, valid: bytes) -> bytes:
    """Return a valid value with a piece replaced, removed, added, or repeated."""
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(valid))] * 2)))
    piece = draw(st.one_of(st.binary(max_size=8), st.sampled_from([b"", b"%", b'"', b"\x00", b"sess-", valid])))
    return valid[:start] + piece + valid[end:]


VALUES = st.one_of(
    st.binary(max_size=200),
    st.one_of(st.text(max_size=60), NEAR_NAMES, NEAR_GENERATED, NEAR_REFERENCES).map(sent),
    st.lists(NEAR_GENERATED, min_size=2, max_size=3).map(".".join).map(sent),
    st.sampled_from([b"null", sent(CHOSEN_ID), b"eyJhIjogMX0=.ZZZZ.c2ln", b"x" * 70_000]),
)


def hostile_value(draw, victim):
    """Draw the value of a cookie that is not the victim's."""
    value = draw(VALUES) if draw(st.booleans()) else mutated(draw, sent(victim))
    # A value may contain the whole id as a cookie of its own, and white space around it means nothing.
    assume(sent(victim) not in value)
    return value


@FUZZ
@given(st.data())
def test_any_value_is_no_session(shop, data):
    value = hostile_value(data.draw, shop.victim)
    shop.lines.clear()
    shop.get(NAME + b"=" + value)
    assert shop.status == 200
    assert shop.seen == {"values": {}, "user": None, "is_new": True}
    assert shop.lines == []


@FUZZ
@given(st.lists(st.one_of(st.binary(max_size=100), st.just(NAME), st.just(NAME + b"=")), max_size=4))
@example([b"=", b";", b";=;", b"\xff=\xfe"])
def test_any_header_is_no_session(shop, headers):
    shop.lines.clear()
    shop.get(*headers)
    assert shop.status == 200
    assert shop.seen["is_new"]
    assert shop.lines == []


@FUZZ
@given(st.lists(st.binary(max_size=50).map(lambda text: text.replace(b";", b"").replace(b"=", b"")), max_size=4))
def test_other_cookies_do_not_hide_the_session(shop, others):
    header = b"; ".join([*others, NAME + b"=" + sent(shop.victim), *others])
    shop.get(header)
    assert shop.seen == {"values": {"secret": 1}, "user": "alice", "is_new": False}
