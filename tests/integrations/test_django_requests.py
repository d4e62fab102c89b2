"""Requests to a Django project: cookies, calls of the store, logins, and outages."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.test import AsyncClient, Client, RequestFactory, override_settings

from chuk_sessions import (
    InvalidMetadataError,
    OutcomeUnknownError,
    SessionLimitError,
    SessionUnavailableError,
)
from chuk_sessions.integrations.cookies import ids_in
from chuk_sessions.integrations.django import SessionStore, bind_owner
from tests.integrations.django_project import MIDDLEWARE, Project, user
from tests.integrations.dying_store import OUTCOMES, DyingStore

DOWN = SessionUnavailableError("the store is down")
ALICE = {"pk": 1, "password": "wonderland"}
DJANGOS_OWN = "django.contrib.sessions.middleware.SessionMiddleware"


@pytest.fixture
def project(single):
    """Return the project with its sessions on each backend."""
    project = Project(single)
    with project.settings():
        yield project
        project.close()


@pytest.fixture
def indexed(world):
    """Return the project with its sessions on each backend that knows the sessions of a user."""
    project = Project(world)
    with project.settings():
        yield project
        project.close()


class Browser(Client):  # type: ignore[misc]
    """A client that sends JSON, and gets responses with status 500 instead of exceptions."""

    def __init__(self):
        super().__init__(raise_request_exception=False)

    def send(self, path, **body):
        return self.post(f"/{path}", json.dumps(body), content_type="application/json")

    @property
    def key(self):
        cookie = self.cookies.get(settings.SESSION_COOKIE_NAME)
        return cookie.value if cookie else None

    def show(self):
        return self.get("/show").json()

    def behind(self, middleware):
        """Return a client with the same cookies, whose requests pass through another middleware."""
        browser = Browser()
        browser.cookies = self.cookies
        browser.handler = type(self.handler)()
        with override_settings(MIDDLEWARE=[MIDDLEWARE, f"{__name__}.{middleware.__name__}"]):
            browser.handler.load_middleware()
        return browser


def test_a_request_without_a_cookie_that_writes_nothing_calls_nothing(project):
    for path in ("/nothing", "/show"):
        response = Browser().get(path)
        assert response.status_code == 200
        assert not response.cookies
    assert project.calls == []


def test_a_session_that_is_not_used_is_not_loaded(project):
    browser = Browser()
    browser.send("update", set={"a": 1})
    project.calls.clear()
    response = browser.get("/nothing")
    assert project.calls == []
    assert not response.has_header("Vary")
    assert not response.has_header("Cache-Control")


def test_reading_is_one_call_and_writing_is_another(project):
    browser = Browser()
    response = browser.send("update", set={"cart": ["book"]})
    assert project.calls == ["allocate"]
    cookie = response.cookies["sessionid"]
    assert cookie["max-age"] == settings.SESSION_COOKIE_AGE
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    project.calls.clear()
    response = browser.get("/show")
    assert response.json()["values"] == {"cart": ["book"]}
    assert project.calls == ["load"]
    assert not response.cookies
    assert response["Vary"] == "Cookie"
    assert response["Cache-Control"] == "private, no-cache"
    project.calls.clear()
    browser.send("update", append={"cart": "lamp"})
    assert project.calls == ["load", "merge"]
    assert browser.show()["values"] == {"cart": ["book", "lamp"]}


def test_cookies_follow_djangos_settings(project):
    names = {"NAME": "__Host-shop", "SECURE": True, "HTTPONLY": False, "SAMESITE": "Strict", "AGE": 100}
    with override_settings(**{f"SESSION_COOKIE_{name}": value for name, value in names.items()}):
        browser = Browser()
        cookie = browser.send("update", set={"a": 1}).cookies["__Host-shop"]
        deleted = browser.get("/logout").cookies["__Host-shop"]
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, "", "Strict")
    assert (deleted["max-age"], deleted["secure"], deleted["samesite"]) == (0, True, "Strict")
    assert cookie["max-age"] == 100
    with override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True):
        assert Browser().send("update", set={"a": 1}).cookies["sessionid"]["max-age"] == ""


def test_concurrent_requests_keep_each_others_changes(project):
    browser = Browser()
    browser.send("update", set={"a": 1, "b": 1})
    other = SessionStore(browser.key)
    other["a"] = 2
    browser.send("update", set={"b": 2})
    other.save()
    assert browser.show()["values"] == {"a": 2, "b": 2}


def test_a_login_changes_the_key_and_binds_the_user(indexed):
    browser = Browser()
    browser.send("update", set={"cart": ["book"]})
    guest = browser.key
    assert browser.send("login", pk=1, password="guess").status_code == 403
    assert browser.send("login", **ALICE).status_code == 200
    assert browser.key != guest
    assert browser.show() == {"values": {"cart": ["book"]}, "user": 1, "owner": "1"}
    assert indexed.stored(guest) is None
    again = browser.key
    browser.send("login", **ALICE)
    assert browser.key != again
    assert indexed.manager.count_sessions("1") == 1
    browser.send("login", pk=2, password="builder")
    assert browser.show() == {"values": {}, "user": 2, "owner": "2"}
    assert indexed.manager.count_sessions("1") == 0
    response = browser.get("/logout")
    assert response.cookies["sessionid"]["max-age"] == 0
    assert browser.show() == {"values": {}, "user": None, "owner": None}
    assert indexed.manager.count_sessions() == 0


def test_receivers_of_logins_get_the_new_key(indexed):
    seen = []

    def note(request, **_):
        seen.append(request.session.session_key)

    user_logged_in.connect(note)
    browser = Browser()
    browser.send("login", **ALICE)
    user_logged_in.disconnect(note)
    assert seen == [browser.key]


def test_the_test_clients_login_binds_the_user(indexed):
    browser = Browser()
    browser.force_login(user(1), "tests.integrations.django_project.Backend")
    assert browser.show()["user"] == 1
    assert indexed.manager.count_sessions("1") == 1
    browser.logout()
    assert indexed.manager.count_sessions("1") == 0


def test_other_devices_are_logged_out(indexed):
    laptop, phone = Browser(), Browser()
    for browser in (laptop, phone):
        browser.send("login", **ALICE)
    assert laptop.get("/logout_others").json() == 1
    assert phone.show()["user"] is None
    assert laptop.show()["user"] == 1


def test_asynchronous_requests_call_the_store_from_their_event_loop(world):
    project = Project(world)

    async def serve():
        client = AsyncClient()
        for path, body in (("alogin", {"pk": 1}), ("aupdate", {"set": {"cart": ["book"]}})):
            response = await client.post(f"/{path}", json.dumps(body), content_type="application/json")
            assert response.status_code == 200
        project.calls.clear()
        project.threads.clear()
        response = await client.get("/ashow")
        assert response.json()["values"] == {"cart": ["book"]}
        assert project.calls == ["load"]
        assert project.threads == {threading.get_ident()}
        assert (await client.get("/show")).json() == {"values": {"cart": ["book"]}, "user": 1, "owner": "1"}
        await client.get("/alogout")
        assert (await client.get("/ashow")).json()["values"] == {}

    with project.settings():
        with override_settings(MIDDLEWARE=[MIDDLEWARE]):
            asyncio.run(only_sessions(project))
        asyncio.run(serve())
        project.close()


async def only_sessions(project):
    """Send requests whose middleware is only this library's."""
    client = AsyncClient()
    await client.post("/aupdate", json.dumps({"set": {"a": 1}}), content_type="application/json")
    assert (await client.get("/ashow")).json() == {"values": {"a": 1}}
    project.calls.clear()
    assert (await client.get("/anothing")).status_code == 200
    assert project.calls == []
    project.fail(DOWN)
    assert (await client.get("/ashow")).status_code == 503
    project.work()


def test_djangos_own_middleware_works_too(project):
    with override_settings(MIDDLEWARE=[DJANGOS_OWN, *settings.MIDDLEWARE[1:]]):
        browser = Browser()
        browser.send("update", set={"cart": ["book"]})
        browser.send("update", append={"cart": "lamp"})
        assert browser.show()["values"] == {"cart": ["book", "lamp"]}
        project.fail(DOWN)
        assert browser.get("/show").status_code == 500
        project.work()
        assert browser.show()["values"] == {"cart": ["book", "lamp"]}
        browser.get("/logout")
        assert browser.show()["values"] == {}


def test_another_engine_works_with_the_middleware(project):
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        browser = Browser()
        browser.send("update", set={"a": 1})
        assert browser.key.startswith("ey")

        async def read():
            client = AsyncClient()
            client.cookies = browser.cookies
            return (await client.get("/ashow")).json()

        assert asyncio.run(read()) in ({"values": {"a": 1}}, {"values": {}})
    assert project.calls == []


@pytest.mark.parametrize(("path", "failing"), [("show", "load"), ("update", "merge"), ("logout", "delete")])
def test_an_outage_is_status_503_and_no_logout(indexed, path, failing, caplog):
    browser = Browser()
    browser.send("login", **ALICE)
    key = browser.key
    indexed.fail(DOWN, failing)
    response = browser.send(path, set={"a": 1})
    assert response.status_code == 503
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    indexed.work()
    assert browser.key == key
    assert browser.show()["user"] == 1
    assert key not in caplog.text


def test_an_outage_that_a_middleware_meets_is_status_503(project):
    browser = Browser()
    browser.send("update", set={"a": 1})
    project.fail(DOWN)
    assert browser.behind(reading).get("/nothing").status_code == 503


@pytest.mark.parametrize("is_async", [False, True])
def test_an_outage_that_djangos_error_page_meets_is_status_503(project, is_async):
    """The page has a CSRF token, which is in the session."""
    browser = Browser()
    browser.send("update", set={"a": 1})
    csrf = "django.middleware.csrf.CsrfViewMiddleware"
    with override_settings(CSRF_USE_SESSIONS=True, MIDDLEWARE=[MIDDLEWARE, csrf]):
        assert Browser().get("/nothing").status_code == 200
        client = AsyncClient(raise_request_exception=False) if is_async else Browser()
        client.cookies = browser.cookies
        project.fail(DOWN)
        response = asyncio.run(client.get("/nothing")) if is_async else client.get("/nothing")
    assert response.status_code == 503
    assert not response.cookies


def reading(get_response):
    def middleware(request):
        request.session.get("a")
        return get_response(request)

    return middleware


def test_a_failed_login_leaves_nobody_logged_in(indexed):
    for error, status in ((DOWN, 503), (SessionLimitError("too many"), 500)):
        browser = Browser()
        browser.send("update", set={"cart": ["book"]})
        indexed.fail(error, "rotate")
        assert browser.send("login", **ALICE).status_code == status
        indexed.work()
        assert browser.show() == {"values": {"cart": ["book"]}, "user": None, "owner": None}


def test_a_failed_binding_undoes_the_login(indexed):
    request = RequestFactory().get("/")
    request.session, request.user = SessionStore(), user(1)
    request.session.update({"_auth_user_id": "1", "_auth_user_hash": "x", "_auth_user_backend": "y", "a": 1})
    indexed.fail(SessionLimitError("too many"))
    with pytest.raises(SessionLimitError):
        bind_owner(type(user(1)), request, user(1))
    assert dict(request.session.items()) == {"a": 1}
    assert not request.user.is_authenticated


def test_logins_without_a_session_bind_nothing(project):
    request = RequestFactory().get("/")
    bind_owner(type(user(1)), None, user(1))
    bind_owner(type(user(1)), request, user(1))
    request.session = SessionStore()
    bind_owner(type(user(1)), request, user(1))
    request.session["_auth_user_id"] = "2"
    bind_owner(type(user(1)), request, user(1))
    assert project.calls == []


@pytest.mark.parametrize("body", [{"status": 500}, {"crash": True}, {"status": 503}])
def test_a_new_key_reaches_the_client_even_if_the_request_fails(project, body):
    browser = Browser()
    browser.send("update", set={"a": 1})
    old = browser.key
    response = browser.send("update", cycle=True, set={"b": 2}, **body)
    assert response.status_code >= 500
    assert browser.key != old
    assert browser.show()["values"] == {"a": 1, "b": 2}


@OUTCOMES
@pytest.mark.parametrize("path", ["update", "login", "alogin"])
def test_a_client_keeps_a_session_whose_rotation_is_in_doubt(single, is_applied, path):
    store = DyingStore(single)
    project = Project(single)
    project.factory = store.factory
    with project.settings():
        browser = Browser()
        browser.send("login", **ALICE)
        browser.send("update", set={"a": 1})
        before = browser.key
        store.die_during_rotation(is_applied=is_applied)
        action = {"cycle": True} if path == "update" else ALICE
        assert browser.send(path, **action).status_code == 503
        both = browser.key
        assert ids_in(both)[0] == before
        store.come_back()
        assert browser.show() == {"values": {"a": 1}, "user": 1, "owner": "1"}
        assert browser.key == (ids_in(both)[1] if is_applied else both)
        browser.send("update", set={"b": 2})
        assert browser.send(path, **action).status_code == 200
        assert ids_in(browser.key)[1] is None
        assert browser.show() == {"values": {"a": 1, "b": 2}, "user": 1, "owner": "1"}
        project.manager.close()


@OUTCOMES
def test_a_view_may_try_a_rotation_again_whose_outcome_is_unknown(indexed, is_applied):
    store = DyingStore(indexed.world)
    indexed.factory = store.factory
    with indexed.settings():
        session = SessionStore()
        session.update({"a": 1, "b": 1})
        session.login("1")
        session["c"] = 1
        del session["b"]
        store.die_during_rotation(is_applied=is_applied)
        with pytest.raises(OutcomeUnknownError):
            session.cycle_key()
        store.come_back()
        session.cycle_key()
        session.save()
        assert session.successor is None
        assert indexed.stored(session.session_key) == {"a": 1, "c": 1}
        assert indexed.manager.count_sessions("1") == 1
        indexed.manager.close()


def test_changes_of_a_user_whose_login_has_failed_do_not_reach_the_user_before(project):
    session = SessionStore()
    session.update({"a": 1})
    session.login("1")
    old = session.session_key
    steps = session._login_steps("2")
    next(steps)
    error = OutcomeUnknownError("the reply was lost")
    error.session_id = old[:-1] + ("1" if old[-1] == "0" else "0")
    with pytest.raises(OutcomeUnknownError):
        steps.throw(error)
    session["order"] = "of 2"
    session.increment("visits")
    assert project.stored(old) == {"a": 1, "visits": 1}
    session.login("2")
    assert project.stored(session.session_key) == {}


def test_a_logout_deletes_a_session_whose_rotation_is_in_doubt_under_both_keys(indexed):
    session = SessionStore()
    session.update({"a": 1})
    session.login("1")
    session.successor = indexed.manager.rotate_session(session.session_key)
    session.flush()
    assert session.successor is None
    assert indexed.manager.count_sessions("1") == 0


def test_failed_requests_are_not_saved(project):
    browser = Browser()
    browser.send("update", set={"a": 1})
    browser.send("update", set={"a": 2}, status=500)
    assert browser.show()["values"] == {"a": 1}


def test_a_session_that_is_revoked_during_a_request_interrupts_it(project):
    browser = Browser()
    browser.send("update", set={"a": 1})
    session_key = browser.key
    response = browser.behind(revoking).send("update", set={"a": 2})
    assert response.status_code == 400
    assert project.stored(session_key) is None
    assert browser.show()["values"] == {}


def revoking(get_response):
    def middleware(request):
        assert request.session.get("a") == 1
        SessionStore().delete(request.session.session_key)
        return get_response(request)

    return middleware


def test_a_lost_session_is_dropped_without_touching_the_cookie(project, caplog):
    """A concurrent request has given the session another key: its response has the cookie."""
    browser = Browser()
    browser.send("update", set={"a": 1})
    response = browser.behind(revoking).send("update", set={"a": 2}, cycle=True)
    assert response.status_code == 200
    assert not response.cookies
    assert "was revoked or rotated" in caplog.text


def test_a_cookie_without_a_session_is_left_alone(project):
    browser = Browser()
    browser.send("update", set={"a": 1})
    project.manager.delete_session(browser.key)
    project.calls.clear()
    for every_request in (False, True):
        with override_settings(SESSION_SAVE_EVERY_REQUEST=every_request):
            for path in ("/show", "/nothing"):
                response = browser.get(path)
                assert response.status_code == 200
                assert not response.cookies
    assert set(project.calls) == {"load"}


def test_sessions_can_be_saved_with_every_request(project):
    browser = Browser()
    browser.send("update", set={"a": 1})
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        project.calls.clear()
        assert "sessionid" in browser.get("/nothing").cookies
        assert project.calls == ["load", "set_ttl"]
        assert not Browser().get("/nothing").cookies


def test_requests_can_be_served_without_their_session(single, caplog):
    project = Project(single)
    with project.settings(serve_without_session=True):
        browser = Browser()
        browser.send("update", set={"a": 1})
        key = browser.key
        project.fail(DOWN)
        for client in (browser, Browser()):
            response = client.send("update", set={"b": 2})
            assert response.status_code == 200
            assert not response.cookies
            assert client.show()["values"] == {}
        assert "changes of a session are dropped" in caplog.text
        project.work()
        assert browser.key == key
        assert browser.show()["values"] == {"a": 1}
        project.close()


def test_values_that_cannot_be_stored_are_errors_of_the_application(project):
    browser = Browser()
    project.fail(InvalidMetadataError("too large"), "allocate")
    assert browser.send("update", set={"a": 1}).status_code == 500


def test_keys_that_the_application_has_chosen_are_not_accepted_from_cookies(project):
    session = SessionStore("order-number-17")
    session.save(must_create=True)
    browser = Browser()
    browser.cookies["sessionid"] = "order-number-17"
    project.calls.clear()
    browser.send("update", set={"a": 1})
    assert project.calls == ["allocate"]
    assert browser.key != "order-number-17"
