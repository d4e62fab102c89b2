"""Hostile cookies of Flask's sessions, which Werkzeug parses: none is a session, an error, or a line in a log."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

flask = pytest.importorskip("flask")

from chuk_sessions.integrations.flask import ChukSessions, session  # noqa: E402
from chuk_sessions.providers import memory  # noqa: E402
from chuk_sessions.sync import SessionManager  # noqa: E402
from tests.fuzz.cases import FUZZ  # noqa: E402
from tests.fuzz.logs import all_lines  # noqa: E402
from tests.fuzz.test_hostile_cookies import CHOSEN_ID, VALUES, mutated, sent  # noqa: E402


class Shop:
    """An application that shows its session, and what was logged."""

    def __init__(self) -> None:
        self.manager = SessionManager("fuzz", memory.factory())
        self.victim = self.manager.allocate_session(user_id="alice", custom_metadata={"secret": 1})
        self.manager.allocate_session(CHOSEN_ID, user_id="alice", custom_metadata={"secret": 1})
        self.lines: list[str] = []
        self.app = flask.Flask("fuzz")
        ChukSessions(self.app, manager=self.manager)
        self.app.add_url_rule("/", view_func=lambda: {"values": dict(session), "user": session.user_id})

    def get(self, header: bytes):
        """Send a request with this Cookie header."""
        client = self.app.test_client(use_cookies=False)
        return client.get("/", environ_overrides={"HTTP_COOKIE": header.decode("latin-1")})


@pytest.fixture(scope="module")
def shop():
    shop = Shop()
    with all_lines() as shop.lines:
        yield shop
    shop.manager.close()


@FUZZ
@given(st.data())
def test_any_value_is_no_flask_session(shop, data):
    value = data.draw(VALUES) if data.draw(st.booleans()) else mutated(data.draw, sent(shop.victim))
    assume(sent(shop.victim) not in value)
    shop.lines.clear()
    response = shop.get(b"session=" + value)
    assert (response.status_code, response.json) == (200, {"values": {}, "user": None})
    assert "Set-Cookie" not in response.headers
    assert shop.lines == []


@FUZZ
@given(st.lists(st.one_of(st.binary(max_size=100), st.sampled_from([b"session", b"session=", b"=", b";"])), max_size=4))
def test_any_header_is_no_flask_session(shop, parts):
    shop.lines.clear()
    assert shop.get(b"; ".join(parts)).json == {"values": {}, "user": None}
    assert shop.lines == []


@FUZZ
@given(st.lists(st.binary(max_size=50).map(lambda text: text.translate(None, b';="')), max_size=4))
def test_other_cookies_do_not_hide_a_flask_session(shop, others):
    header = b"; ".join([*others, b"session=" + sent(shop.victim), *others])
    assert shop.get(header).json == {"values": {"secret": 1}, "user": "alice"}
