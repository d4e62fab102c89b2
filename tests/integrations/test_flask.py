"""Flask: sessions that are loaded when a request uses them and saved per key, and cookies as configured."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from uuid import UUID

import pytest

flask = pytest.importorskip("flask")

from markupsafe import Markup  # noqa: E402

from chuk_sessions import SessionUnavailableError  # noqa: E402
from chuk_sessions.integrations.cookies import ids_in  # noqa: E402
from chuk_sessions.integrations.flask import ChukSessionInterface, ChukSessions, session  # noqa: E402
from chuk_sessions.sync import SessionManager  # noqa: E402
from tests.integrations.dying_store import OUTCOMES, DyingStore  # noqa: E402

LIFETIME = timedelta(days=10)
VALUES = {
    "tuple": (1, "two"),
    "bytes": b"\xff",
    "uuid": UUID(int=7),
    "markup": Markup("<b>"),
    "time": datetime(2030, 1, 1, tzinfo=UTC),
    "nested": {"tuples": [(1,), {"x": b"y"}]},
    "looks tagged": {" t": [1]},
    "looks wrapped": {"$chuk": {"text": "1"}},
    "": "empty key",
    "x" * 300: "\x00",
}


class Site:
    """An application whose views run functions that tests give, on a store that can fail and counts its calls."""

    def __init__(self, world, **config):
        self.calls = []
        self.failing = set()
        self.world = world
        self.manager = SessionManager("test", world.intercepted(self._before).session_factory)
        self.app = flask.Flask("test")
        self.app.config.update(TESTING=True, PERMANENT_SESSION_LIFETIME=LIFETIME, **config)
        ChukSessions(self.app, manager=self.manager)
        self.app.add_url_rule("/", view_func=self._view)

    def _view(self):
        return self.view()

    async def _before(self, call):
        name = call.operation.name
        self.calls.append(name)
        if name in self.failing or "all" in self.failing:
            raise SessionUnavailableError("the store is down")

    def request(self, client, view=lambda: "", **options):
        """Run a view for a client. Return the response."""
        self.view = lambda: flask.jsonify(view())
        self.calls.clear()
        return client.get("/", **options)

    def client(self, **values):
        """Return a client, with a session that has these values if there are any."""
        client = self.app.test_client()
        if values:
            with client.session_transaction() as opened:
                opened.update(values)
        return client

    def stored(self, client):
        """Return the metadata of a client's session in the store; None if there is no such session."""
        found = self.manager.get_session_metadata(session_id(client))
        return None if found is None else found.custom_metadata

    def advance(self, **amount):
        """Advance the store's clock."""
        asyncio.run(self.world.advance(**amount))


def session_id(client, name="session"):
    cookie = client.get_cookie(name)
    return "" if cookie is None else cookie.value


def attributes(response):
    """Return name, value, and attributes of the cookie that a response sets; None if it sets none."""
    header = response.headers.get("Set-Cookie")
    if header is None:
        return None
    first, *rest = header.split("; ")
    return first.partition("=")[0], first.partition("=")[2], {part.partition("=")[0]: part for part in rest}


def put(**values):
    return call("update", values)


def call(name, *arguments):
    return lambda: getattr(session, name)(*arguments)


@pytest.fixture
def site(single):
    site = Site(single)
    yield site
    site.manager.close()


@pytest.fixture
def indexed(world):
    site = Site(world)
    yield site
    site.manager.close()


def test_a_request_that_does_not_use_the_session_makes_no_call(site):
    known = site.client(n=1)
    for client in (site.client(), known):
        response = site.request(client)
        assert site.calls == []
        assert {"Vary", "Set-Cookie", "Cache-Control"}.isdisjoint(response.headers.keys())


def test_a_guest_who_writes_nothing_makes_no_call(site):
    response = site.request(site.client(), lambda: [session.get("n"), session.new, session.user_id, session.permanent])
    assert response.json == [None, True, None, False]
    assert site.calls == []
    assert response.headers["Vary"] == "Cookie"
    assert attributes(response) is None


def test_reading_is_one_call_and_writing_one_more(site):
    client = site.client(n=1, cart=["book"])
    assert site.request(client, lambda: [session["n"], session["cart"], session.new]).json == [1, ["book"], False]
    assert site.calls == ["load"]
    site.request(client, put(n=2))
    assert site.calls == ["load", "set"]
    site.request(client, put(n=2))
    assert site.calls == ["load"]
    assert site.stored(client) == {"n": 2, "cart": ["book"]}


def test_responses_that_use_the_session_are_not_shared_by_caches(site):
    response = site.request(site.client(n=1), lambda: session["n"])
    assert response.headers["Vary"] == "Cookie"
    assert response.headers["Cache-Control"] == "private, no-cache"


def test_saving_is_no_access(site):
    client = site.client(n=1)
    with client:
        site.request(client)
        opened = flask.session._get_current_object()
        assert not opened.is_loaded
        opened.accessed = False
        site.app.session_interface.save_session(site.app, opened, flask.Response())
        assert not opened.accessed


def test_changes_inside_values_are_saved(site):
    client = site.client(cart=[{"item": "book", "n": 1}], other=[1])

    def view():
        session["cart"][0]["n"] += 1

    site.request(client, view)
    assert site.stored(client) == {"cart": [{"item": "book", "n": 2}], "other": [1]}


def test_concurrent_requests_keep_each_others_changes(site):
    client = site.client(a=1, b=1, c=1)
    other = site.app.test_client()
    other.set_cookie("session", session_id(client))
    with client.session_transaction() as first:
        first["a"] = 2
        with other.session_transaction() as second:
            second["b"] = 2
            del second["c"]
    assert site.stored(client) == {"a": 2, "b": 2}


@pytest.mark.parametrize("key", VALUES)
def test_values_come_back_as_they_were(site, key):
    client = site.client(**{key: VALUES[key]})
    got = []
    site.request(client, lambda: got.append(session[key]))
    assert got == [VALUES[key]]
    assert type(got[0]) is type(VALUES[key])


def test_a_value_that_cannot_be_stored_is_an_error(site):
    with pytest.raises(TypeError):
        site.request(site.client(), lambda: session.update(x=object()))


def test_the_cookie_has_flasks_attributes_and_the_deletion_repeats_them(site):
    site.app.config.update(
        SESSION_COOKIE_NAME="sid", SESSION_COOKIE_DOMAIN="example.com", SESSION_COOKIE_PATH="/shop",
        SESSION_COOKIE_SECURE=True, SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SAMESITE="Strict",
    )  # fmt: skip
    has_partitioned = "SESSION_COOKIE_PARTITIONED" in site.app.config
    site.app.config["SESSION_COOKIE_PARTITIONED"] = True
    client = site.app.test_client(use_cookies=False)
    url = {"base_url": "https://example.com/"}
    response = site.request(client, put(n=1), **url)
    name, value, found = attributes(response)
    assert name == "sid"
    expected = {"Domain=example.com", "Path=/shop", "Secure", "HttpOnly", "SameSite=Strict"}
    assert set(found.values()) == expected | ({"Partitioned"} if has_partitioned else set())
    response = site.request(client, call("clear"), headers={"Cookie": f"sid={value}"}, **url)
    name, value, deleted = attributes(response)
    assert (name, value) == ("sid", "")
    assert found.items() <= deleted.items()
    assert deleted["Max-Age"] == "Max-Age=0"


def test_cookies_are_lax_by_default_and_the_configuration_is_read_per_request(site):
    _, _, found = attributes(site.request(site.client(), put(n=1)))
    assert set(found) == {"HttpOnly", "Path", "SameSite"}
    assert found["SameSite"] == "SameSite=Lax"
    site.app.config["SESSION_COOKIE_SAMESITE"] = None
    assert "SameSite" not in attributes(site.request(site.client(), put(n=1)))[2]


def expiry_of(response):
    return parsedate_to_datetime(attributes(response)[2]["Expires"].partition("=")[2])


def test_a_permanent_session_has_a_cookie_that_expires_with_it(site):
    def view():
        session.permanent = True
        session["n"] = 1

    client = site.client()
    expires = expiry_of(site.request(client, view))
    assert abs(expires - datetime.now(UTC) - LIFETIME) < timedelta(minutes=1)
    site.advance(hours=1)
    response = site.request(client, lambda: session.permanent)
    assert response.json is True
    assert site.calls == ["load"]
    assert abs(expiry_of(response) - expires + timedelta(hours=1)) < timedelta(minutes=1)
    site.app.config["SESSION_REFRESH_EACH_REQUEST"] = False
    assert attributes(site.request(client, lambda: session["n"])) is None


def test_new_sessions_are_permanent_where_the_configuration_says_so(site):
    site.app.config["SESSION_PERMANENT"] = True
    client = site.client()
    assert "Expires" in attributes(site.request(client, put(n=1)))[2]
    assert site.stored(client) == {"n": 1}
    site.request(client, lambda: setattr(session, "permanent", False))
    assert "Expires" not in attributes(site.request(client, put(n=2)))[2]


def test_each_request_that_uses_the_session_lets_its_lifetime_start_again(site):
    client = site.client(n=1)
    for _ in range(3):
        site.advance(hours=200)
        assert site.request(client, lambda: session["n"]).json == 1
    site.app.config["SESSION_REFRESH_EACH_REQUEST"] = False
    site.advance(hours=200)
    assert site.request(client, lambda: session["n"]).json == 1
    site.advance(hours=200)
    assert site.request(client, lambda: session.get("n")).json is None


def test_a_session_may_have_a_lifetime_of_its_own(site):
    client = site.client(n=1)
    response = site.request(client, lambda: session.set_expiry(60))
    assert expiry_of(response) - datetime.now(UTC) < timedelta(minutes=2)
    site.advance(seconds=61)
    assert site.request(client, lambda: session.get("n")).json is None


def test_permanent_alone_creates_no_session(site):
    response = site.request(site.client(), lambda: setattr(session, "permanent", True))
    assert site.calls == []
    assert attributes(response) is None


def test_a_session_whose_last_value_was_removed_is_deleted(site):
    client = site.client(n=1)
    old = session_id(client)
    response = site.request(client, lambda: session.pop("n"))
    assert attributes(response)[1] == ""
    assert site.manager.get_session_metadata(old) is None


def test_an_empty_session_stays_if_another_request_has_added_a_value_or_a_user_is_logged_in(site):
    client = site.client(n=1)
    with client.session_transaction() as first:
        first.pop("n")
        site.manager.update_session_metadata(session_id(client), {"m": 1})
    assert site.stored(client) == {"m": 1}

    def view():
        session.clear()
        session["n"] = 1
        session.login("ann")
        session.pop("n")

    site.request(client, view)
    assert site.request(client, lambda: session.user_id).json == "ann"


def test_login_and_logout(site):
    client = site.client(cart=["book"])
    guest = session_id(client)
    site.request(client, lambda: session.login("ann"))
    user = session_id(client)
    assert user != guest
    assert site.manager.get_session_metadata(guest) is None
    assert site.request(client, lambda: [session.user_id, session["cart"]]).json == ["ann", ["book"]]
    response = site.request(client, call("logout"))
    assert attributes(response)[1] == ""
    assert site.manager.get_session_metadata(user) is None


def test_rotation_keeps_the_values(site):
    client = site.client(n=1)
    old = session_id(client)
    site.request(client, call("rotate"))
    assert session_id(client) != old
    assert site.request(client, lambda: [session["n"], session.sid]).json == [1, session_id(client)]
    old = session_id(client)
    site.request(client, lambda: site.app.session_interface.regenerate(session))
    assert session_id(client) != old


def test_other_devices_are_logged_out(indexed):
    laptop, phone, other = indexed.client(), indexed.client(), indexed.client()
    for client, user in ((laptop, "ann"), (phone, "ann"), (other, "bob")):
        indexed.request(client, lambda user=user: session.login(user))
    assert indexed.request(laptop, call("revoke_other_sessions")).json == 1
    users = [indexed.request(client, lambda: session.user_id).json for client in (laptop, phone, other)]
    assert users == ["ann", None, "bob"]


def test_a_session_that_was_revoked_meanwhile_is_not_revived(site, caplog):
    client = site.client(n=1)
    old = session_id(client)

    def view():
        session["n"] = 2
        site.manager.delete_session(old)

    response = site.request(client, view)
    assert attributes(response)[1] == ""
    assert site.manager.get_session_metadata(old) is None
    assert "dropped" in caplog.text
    assert old not in caplog.text


def test_unknown_and_malformed_cookies_are_no_session(site, caplog):
    caplog.set_level(logging.DEBUG)
    unknown = "sess-1796061229-ef15e5fca3e2becccef3034049ad325a3b"
    for value in (unknown, "", "x", "../etc", "sess-", '"', "a" * 5000, unknown + "0", "ключ"):
        client = site.app.test_client(use_cookies=False)
        headers = {"Cookie": f"session={value}".encode().decode("latin-1")}
        response = site.request(client, lambda: [session.get("n"), session.sid], headers=headers)
        assert response.json == [None, None]
        assert attributes(response) is None
        assert site.calls == (["load"] if value == unknown else [])
        response = site.request(client, put(n=1), headers=headers)
        assert attributes(response)[1] not in ("", value)
        assert not value or value == "x" or value not in caplog.text


def test_a_planted_cookie_does_not_hide_the_session(site):
    value = session_id(site.client(n=1))
    other = site.app.test_client(use_cookies=False)
    response = site.request(other, lambda: session["n"], headers={"Cookie": f"session=x; session={value}"})
    assert response.json == 1


def test_an_outage_is_503_and_the_client_keeps_its_session(site):
    client = site.client(n=1)
    for failing, view in (("load", lambda: session["n"]), ("set", put(n=2)), ("all", lambda: session.login("ann"))):
        site.failing = {failing}
        response = site.request(client, view)
        assert response.status_code == 503
        assert response.headers["Retry-After"]
        assert attributes(response) is None
    site.failing = {"allocate"}
    assert site.request(site.client(), put(n=1)).status_code == 503
    site.failing = set()
    assert site.request(client, lambda: session["n"]).json == 1


@OUTCOMES
@pytest.mark.parametrize("action", [call("rotate"), call("login", "ann")], ids=["rotate", "login"])
def test_a_client_keeps_a_session_whose_rotation_is_in_doubt(single, action, is_applied):
    store = DyingStore(single)
    site = Site(single)
    site.app.session_interface = ChukSessionInterface(SessionManager("test", store.factory))
    client = site.app.test_client()
    site.request(client, lambda: session.login("ann"))
    site.request(client, put(n=1))
    before = session_id(client)
    store.die_during_rotation(is_applied=is_applied)
    assert site.request(client, action).status_code == 503
    both = session_id(client)
    assert ids_in(both)[0] == before
    store.come_back()
    assert site.request(client, lambda: [session["n"], session.user_id, session.sid]).json == [
        1,
        "ann",
        ids_in(both)[is_applied],
    ]
    assert site.request(client, action).status_code == 200
    assert ids_in(session_id(client))[1] is None
    assert site.request(client, lambda: session["n"]).json == 1
    site.app.session_interface.manager.close()
    site.manager.close()


def test_a_response_that_is_replaced_during_an_outage_is_closed(site):
    closed = []

    def stream():
        try:
            yield "x"
        finally:
            closed.append(True)

    def view():
        session["n"] = 1
        body = stream()
        next(body)
        return flask.Response(body, headers={"ETag": "x", "Location": "/"}, status=302)

    site.app.add_url_rule("/stream", view_func=view)
    site.failing = {"all"}
    response = site.client().get("/stream")
    assert response.status_code == 503
    assert "Location" not in response.headers
    assert closed == [True]


def test_pages_for_outages_may_use_the_session(site):
    site.app.register_error_handler(503, lambda error: (f"sorry, {session.get('name', 'guest')}", 503))
    client = site.client(name="ann")
    site.failing = {"load"}
    assert site.request(client, lambda: session["name"]).text == "sorry, guest"
    site.failing = {"set"}
    response = site.request(client, put(n=1))
    assert (response.status_code, response.text) == (503, "sorry, ann")


def test_requests_can_be_served_without_a_session(site, caplog):
    client = site.client(n=1)
    site.app.config["SESSION_SERVE_WITHOUT_SESSION"] = True
    site.failing = {"load"}
    response = site.request(client, lambda: [session.get("n"), session.update(n=2)])
    assert (response.status_code, response.json) == (200, [None, None])
    assert attributes(response) is None
    site.failing = {"set", "allocate"}
    assert site.request(client, put(n=2)).status_code == 200
    assert attributes(site.request(site.client(), put(n=1))) is None
    assert caplog.text.count("without its session") == 1
    assert caplog.text.count("dropped") == 3
    site.failing = set()
    assert site.request(client, lambda: session["n"]).json == 1


def test_async_views(indexed):
    pytest.importorskip("asgiref")

    async def view():
        session["n"] = session.get("n", 0) + 1
        await asyncio.sleep(0)
        session.login("ann")
        return {"user": session.user_id, "others": session.revoke_other_sessions(), "n": session["n"]}

    indexed.app.add_url_rule("/async", view_func=view)
    client = indexed.client(n=1)
    assert client.get("/async").json == {"user": "ann", "others": 0, "n": 2}
    indexed.failing = {"load"}
    assert client.get("/async").status_code == 503


def test_a_session_is_no_empty_dict_before_it_is_loaded(site):
    for view in (
        lambda: json.dumps(session._get_current_object()),
        lambda: repr(session._get_current_object()).replace("'", '"'),
        lambda: json.dumps({**session._get_current_object()}),
        lambda: json.dumps(dict(session.items())),
    ):
        assert json.loads(site.request(site.client(n=1), view).json) == {"n": 1}


def test_saving_an_unused_session_makes_no_call(site, caplog):
    client = site.client(n=1)
    assert site.request(client, call("save")).json is True
    assert site.calls == []
    assert not caplog.text


def test_flashed_messages(site):
    client = site.client()
    site.request(client, lambda: flask.flash("saved", "info"))
    view = lambda: flask.get_flashed_messages(with_categories=True)  # noqa: E731
    assert site.request(client, view).json == [["info", "saved"]]
    assert site.request(client, view).json == []


def test_sessions_cannot_change_their_id_after_the_response_has_begun(site):
    def view():
        session["n"] = 1
        yield "x"
        with pytest.raises(RuntimeError, match="begun"):
            session.login("ann")

    site.app.add_url_rule("/stream", "stream", lambda: flask.Response(flask.stream_with_context(view())))
    assert site.client(n=2).get("/stream").text == "x"


def test_methods_of_the_interface_may_be_overridden(site):
    class PathInterface(ChukSessionInterface):
        def get_cookie_path(self, app):
            return flask.request.path + "sub"

    site.app.session_interface = PathInterface(site.manager)
    assert attributes(site.request(site.client(), put(n=1)))[2]["Path"] == "Path=/sub"
