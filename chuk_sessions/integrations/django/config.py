"""The setting CHUK_SESSIONS, and the session managers that it describes.

Without the setting, the environment decides, as for `chuk_sessions.SessionManager`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from ... import SessionManager, factory_for_env, sync
from ...providers import memory, redis
from ..env import manager_for

_SETTING: Final = "CHUK_SESSIONS"


@dataclass(frozen=True)
class Config:
    """The settings of the integration.

    Attributes:
        manager: for synchronous code.
        async_manager: for asynchronous code, in any event loop. Both use the same store.
        serve_without_session: whether requests get an empty session if the store fails, instead of an error.

    """

    manager: sync.SessionManager
    async_manager: SessionManager
    serve_without_session: bool


_current: Config | None = None
_lock = Lock()


def config() -> Config:
    """Return the settings of this process. They are read once.

    Raises:
        ImproperlyConfigured: CHUK_SESSIONS, or the environment, is malformed.

    """
    global _current
    if _current is None:
        with _lock:
            if _current is None:
                _current = _read()
    return _current


def get_manager() -> sync.SessionManager:
    """Return the session manager of this project, for synchronous code."""
    return config().manager


def get_async_manager() -> SessionManager:
    """Return the session manager of this project, for asynchronous code. It works in any event loop."""
    return config().async_manager


def _read() -> Config:
    options = getattr(settings, _SETTING, {})
    if not isinstance(options, Mapping):
        raise ImproperlyConfigured(f"{_SETTING} must be a dict")
    rest = dict(options)
    serves = rest.pop("serve_without_session", False)
    try:
        factory = _factory(rest.pop("session_factory", None), rest.pop("provider", None), rest.pop("url", None))
        return Config(
            manager_for(sync.SessionManager, session_factory=factory, **rest),
            manager_for(SessionManager, session_factory=factory, **rest),
            bool(serves),
        )
    except (ValueError, TypeError, ImportError, AttributeError) as error:
        raise ImproperlyConfigured(f"{_SETTING}: {error}") from error


def _factory(given: Any, provider: str | None, url: str | None) -> Any:
    """Return the factory that both managers share."""
    if given is not None:
        if provider or url:
            raise ValueError("session_factory excludes provider and url")
        return import_string(given) if isinstance(given, str) else given
    if provider is None and url is None:
        return factory_for_env()
    if provider in (None, "redis"):
        return redis.factory(url)
    if provider != "memory" or url:
        raise ValueError("provider must be 'redis', or 'memory' without a url")
    return memory.factory()


def _forget(*, setting: str, **_: Any) -> None:
    """Read the settings again after `override_settings`."""
    global _current
    if setting == _SETTING:
        _current = None


setting_changed.connect(_forget, dispatch_uid="chuk_sessions.config")
