"""Hostile cookies of Django's sessions: none is a session, an error, or a line in a log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("django")

from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings

from chuk_sessions.integrations.django import get_async_manager
from tests.fuzz.cases import FUZZ
from tests.fuzz.logs import all_lines
from tests.fuzz.test_hostile_cookies import CHOSEN_ID, hostile_value, sent
from tests.integrations.django_project import ENGINE, MIDDLEWARE

NOBODY = b'{"values": {}}'


class Shop:
    """An application whose requests have hostile cookies, and what was logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.application = ASGIHandler()
        self.loop = asyncio.new_event_loop()
        manager = get_async_manager()
        options: dict[str, Any] = {"user_id": "1", "custom_metadata": {"secret": 1}}
        self.victim = self.loop.run_until_complete(manager.allocate_session(**options))
        self.loop.run_until_complete(manager.allocate_session(CHOSEN_ID, **options))

    def get(self, cookie: bytes):
        """Send a request with these bytes as its Cookie header, and return the status and what the view has seen."""
        headers = [(b"cookie", cookie), (b"host", b"testserver")]
        scope = {"type": "http", "method": "GET", "path": "/ashow", "headers": headers, "query_string": b""}
        messages, received = [], iter([{"type": "http.request", "body": b""}])

        async def receive():
            return next(received, None) or await asyncio.Future()

        async def send(message):
            messages.append(message)

        self.loop.run_until_complete(self.application(scope, receive, send))
        return messages[0]["status"], b"".join(message.get("body", b"") for message in messages[1:])


@pytest.fixture(scope="module")
def shop():
    """Return the application with all that it logs."""
    options = {"provider": "memory", "sandbox_id": "shop"}
    with override_settings(CHUK_SESSIONS=options, SESSION_ENGINE=ENGINE, MIDDLEWARE=[MIDDLEWARE]):
        shop = Shop()
        with all_lines() as shop.lines:
            yield shop
        shop.loop.close()


@FUZZ
@given(st.data())
def test_any_value_is_no_django_session(shop, data):
    value = hostile_value(data.draw, shop.victim)
    shop.lines.clear()
    assert shop.get(b"sessionid=" + value) == (200, NOBODY)
    assert shop.lines == []


@FUZZ
@given(st.lists(st.one_of(st.binary(max_size=100), st.sampled_from([b"sessionid", b"sessionid=", b"="])), max_size=4))
def test_any_header_is_no_django_session(shop, parts):
    shop.lines.clear()
    assert shop.get(b"; ".join(parts)) == (200, NOBODY)
    assert shop.lines == []


def test_the_victims_session_can_be_seen(shop):
    assert shop.get(b"sessionid=" + sent(shop.victim)) == (200, b'{"values": {"secret": 1}}')
