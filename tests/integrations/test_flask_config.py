"""The configuration of Flask sessions: which store and sandbox it names, and what it ignores."""

from __future__ import annotations

import pytest

flask = pytest.importorskip("flask")

import redis  # noqa: E402
from werkzeug.exceptions import HTTPException  # noqa: E402

from chuk_sessions import CorruptRecordError, SessionUnavailableError, StoreFullError  # noqa: E402
from chuk_sessions.integrations.flask import ChukSessions, session  # noqa: E402
from chuk_sessions.integrations.flask.stores import factory_from, url_of  # noqa: E402
from chuk_sessions.providers import memory  # noqa: E402
from chuk_sessions.sync import SessionManager  # noqa: E402


def app_with(extension=None, **config):
    """Return an application whose index counts requests."""
    app = flask.Flask("test")
    app.config.update(TESTING=True, **config)
    (extension or ChukSessions()).init_app(app)

    @app.get("/")
    def index():
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    return app


def manager_of(app):
    return app.extensions["chuk_sessions"]


@pytest.fixture(autouse=True)
def _without_environment(monkeypatch):
    for name in ("SESSION_PROVIDER", "SESSION_REDIS_URL", "REDIS_URL", "CHUK_SANDBOX_ID", "CHUK_HOST_SANDBOX_ID"):
        monkeypatch.delenv(name, raising=False)


def works(app):
    client = app.test_client()
    return [client.get("/").text for _ in range(2)] == ["1", "2"]


def test_without_configuration_the_environment_names_store_and_sandbox(server, monkeypatch):
    monkeypatch.setenv("SESSION_PROVIDER", "redis")
    monkeypatch.setenv("SESSION_REDIS_URL", server.url)
    monkeypatch.setenv("CHUK_SANDBOX_ID", "shop")
    app = app_with()
    assert works(app)
    assert SessionManager("shop").count_sessions() == 1


@pytest.mark.parametrize("key", ["SESSION_REDIS", "SESSION_REDIS_URL"])
def test_the_configuration_names_a_server_by_its_url(server, key):
    app = app_with(**{key: server.url})
    assert works(app)
    assert manager_of(app).count_sessions() == 1


def test_a_client_of_redis_py_names_its_server(server):
    with redis.Redis.from_url(server.url) as client:
        app = app_with(SESSION_REDIS=client, SESSION_TYPE="redis", SESSION_KEY_PREFIX="shop:")
        assert works(app)
        assert client.dbsize() > 0
    assert SessionManager("shop", factory_from({"SESSION_REDIS": server.url})).count_sessions() == 1


CLIENTS = {
    "host": (redis.Redis("example.com", 7000, 3), "redis://example.com:7000?db=3"),
    "login": (redis.Redis(username="ann", password="p@:/?"), "redis://ann:p%40%3A%2F%3F@localhost:6379?db=0"),
    "password": (redis.Redis(password="secret"), "redis://:secret@localhost:6379?db=0"),
    "six": (redis.Redis("::1"), "redis://[::1]:6379?db=0"),
    "socket": (redis.Redis(unix_socket_path="/run/re dis", db=2), "unix:///run/re%20dis?db=2"),
    "tls": (
        redis.Redis.from_url("rediss://example.com/1?ssl_ca_certs=/ca"),
        "rediss://example.com:6379?db=1&ssl_ca_certs=%2Fca",
    ),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_clients_of_redis_py_are_translated(name):
    client, url = CLIENTS[name]
    assert url_of(client) == url


def test_other_clients_are_refused():
    with pytest.raises(ValueError, match="session_factory"):
        app_with(SESSION_REDIS=object())


def test_flask_sessions_type_redis_is_the_local_server_unless_the_environment_decides(monkeypatch):
    assert factory_from({"SESSION_TYPE": "filesystem"}) is None
    assert factory_from({"SESSION_TYPE": "redis"}) is not None
    monkeypatch.setenv("SESSION_PROVIDER", "memory")
    assert factory_from({"SESSION_TYPE": "redis"}) is None


def test_arguments_override_the_configuration():
    manager = SessionManager("test", memory.factory())
    app = app_with(ChukSessions(manager=manager), SESSION_REDIS_URL="redis://127.0.0.1:1")
    assert works(app)
    assert manager.count_sessions() == 1
    app = app_with(ChukSessions(session_factory=memory.factory()), SESSION_REDIS_URL="redis://127.0.0.1:1")
    assert works(app)


def test_one_extension_serves_several_applications():
    extension = ChukSessions(session_factory=memory.factory())
    first, second = app_with(extension, SESSION_KEY_PREFIX="one:"), app_with(extension, SESSION_KEY_PREFIX="two:")
    assert works(first)
    assert [manager_of(app).count_sessions() for app in (first, second)] == [1, 0]


def test_settings_without_effect_are_logged(caplog):
    factory = memory.factory()
    app_with(ChukSessions(session_factory=factory), SESSION_USE_SIGNER=False, SESSION_COOKIE_NAME="sid")
    assert not caplog.text
    app_with(ChukSessions(session_factory=factory), SESSION_USE_SIGNER=True, SESSION_TYPE="mongodb")
    assert "SESSION_USE_SIGNER has no effect" in caplog.text
    assert "SESSION_TYPE has no effect" in caplog.text


def test_handlers_of_the_application_come_first():
    app = flask.Flask("test")
    app.register_error_handler(Exception, lambda error: error if isinstance(error, HTTPException) else ("error", 500))
    ChukSessions(app, session_factory=memory.factory())
    app.register_error_handler(StoreFullError, lambda error: ("full", 503))

    @app.get("/<name>")
    def fail(name):
        raise {"down": SessionUnavailableError, "full": StoreFullError, "corrupt": CorruptRecordError}[name]("x")

    client = app.test_client()
    assert client.get("/down").status_code == 503
    assert client.get("/full").text == "full"
    assert client.get("/corrupt").status_code == 500
