"""Picks the provider that the environment names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from . import settings
from .core import notices

_ALIASES = {"mem": "memory", "inmemory": "memory", "redis_store": "redis"}
_NO_PROVIDERS = {"factory", "values"}
"""Modules of the folder that providers share."""


def factory_for_env() -> Callable[[], AbstractAsyncContextManager[Any]]:
    """Return the factory of the provider that SESSION_PROVIDER names, by default `memory`.

    Use it with `async with factory() as session`. The name is that of a module in `chuk_sessions.providers`, whose
    `factory()` is looked up now. Raises ModuleNotFoundError for a name without a module, AttributeError for a module
    without `factory`.
    """
    env = settings.from_env()
    module = _module(_ALIASES.get(env.provider, env.provider))
    if not hasattr(module, "factory"):
        raise AttributeError(f"the provider module {module.__name__} lacks a factory() function")
    factory: Callable[[], AbstractAsyncContextManager[Any]] = module.factory()
    if not env.provider_given:
        notices.memory_only()
    return factory


def _module(name: str) -> ModuleType:
    path = f"{__package__}.providers.{name}"
    try:
        return import_module(path)
    except ModuleNotFoundError as missing:
        # A provider that is there and lacks a module of its own says so itself.
        if missing.name is None or not f"{path}.".startswith(f"{missing.name}."):
            raise
        raise ModuleNotFoundError(_unknown(name), name=path) from None


def _unknown(name: str) -> str:
    providers = import_module(f"{__package__}.providers")
    modules = {found.name for found in iter_modules(providers.__path__)} - _NO_PROVIDERS
    close = get_close_matches(name, [*sorted(modules), *_ALIASES], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"SESSION_PROVIDER names no provider: {name!r}. Available are {', '.join(sorted(modules))}.{hint}"


__all__ = ["factory_for_env"]
