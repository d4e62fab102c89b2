"""Settings from the environment, the URL and arguments."""

from __future__ import annotations

import pytest

from chuk_sessions.backends.redis.options import Options
from chuk_sessions.backends.redis.settings import from_env, overrides
from chuk_sessions.backends.redis.url import parse
from chuk_sessions.providers.redis import factory

NAMES = {
    "CONNECT_TIMEOUT": ("connect_timeout", "1.5", 1.5),
    "CALL_TIMEOUT": ("call_timeout", "0.25", 0.25),
    "RETRIES": ("retries", "0", 0),
    "MAX_IN_FLIGHT": ("max_in_flight", "7", 7),
    "CONNECTIONS": ("connections", "3", 3),
    "CLIENT_NAME": ("client_name", "app-7", "app-7"),
    "WAIT_REPLICAS": ("wait_replicas", "2", 2),
    "WAIT_TIMEOUT": ("wait_timeout", "0.1", 0.1),
}


def test_the_defaults():
    assert from_env() == Options(client_name="chuk-sessions")


@pytest.mark.parametrize("name", NAMES)
def test_the_environment(monkeypatch: pytest.MonkeyPatch, name: str):
    attribute, text, value = NAMES[name]
    monkeypatch.setenv(f"SESSION_REDIS_{name}", text)
    assert getattr(from_env(), attribute) == value
    monkeypatch.setenv(f"SESSION_REDIS_{name}", "")
    assert from_env() == Options(client_name="chuk-sessions")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CONNECT_TIMEOUT", "0"), ("CONNECT_TIMEOUT", "soon"), ("CALL_TIMEOUT", "-1"), ("CALL_TIMEOUT", "inf"),
        ("CALL_TIMEOUT", "nan"), ("RETRIES", "-1"), ("RETRIES", "2.5"), ("MAX_IN_FLIGHT", "0"), ("CONNECTIONS", "0"),
        ("CONNECTIONS", "²"), ("CLIENT_NAME", "two words"), ("WAIT_REPLICAS", "-1"), ("WAIT_TIMEOUT", "0"),
    ],
)  # fmt: skip
def test_an_error_names_the_invalid_variable(monkeypatch: pytest.MonkeyPatch, name: str, text: str):
    monkeypatch.setenv(f"SESSION_REDIS_{name}", text)
    with pytest.raises(ValueError, match=f"SESSION_REDIS_{name}"):
        from_env()


@pytest.mark.parametrize("settings", [{"retries": True}, {"connections": 0}, {"call_timeout": "x"}, {"client_name": 7}])
def test_an_error_names_the_invalid_argument(settings: dict[str, object]):
    with pytest.raises(ValueError, match=next(iter(settings))):
        overrides(**settings)  # type: ignore[arg-type]


def test_arguments_override_the_url_which_overrides_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SESSION_REDIS_CLIENT_NAME", "environment")
    monkeypatch.setenv("SESSION_REDIS_CONNECT_TIMEOUT", "3")
    url = "redis://localhost?client_name=url"
    assert parse("redis://localhost", from_env()).options.client_name == "environment"
    assert parse(url, from_env()).options.client_name == "url"
    assert parse(url, from_env(), client_name="argument").options.client_name == "argument"
    assert parse(f"{url}&socket_connect_timeout=2", from_env()).options.connect_timeout == 2
    assert parse(url, from_env()).options.connect_timeout == 3


def test_factories_with_the_same_settings_share_a_backend(monkeypatch: pytest.MonkeyPatch):
    one = factory("redis://localhost:1", retries=2)
    assert factory("redis://localhost:1", retries=2).backend is one.backend
    assert factory("redis://localhost:1", retries=3).backend is not one.backend
    monkeypatch.setenv("SESSION_REDIS_CONNECTIONS", "2")
    assert factory("redis://localhost:1", retries=2).backend is not one.backend
