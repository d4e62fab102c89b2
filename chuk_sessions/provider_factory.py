"""Selection of the provider that the environment names."""

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
_NOT_PROVIDERS = {"factory", "values"}
"""Modules of the folder `providers` that are not providers."""


def factory_for_env() -> Callable[[], AbstractAsyncContextManager[Any]]:
    """Return the factory of the provider that SESSION_PROVIDER names, by default `memory`.

    Use it with `async with factory() as session`. SESSION_PROVIDER is the name of a module in
    `chuk_sessions.providers`, whose `factory()` is called. Raises ModuleNotFoundError if there is no such module,
    AttributeError if it has no `factory`, and ValueError for a malformed setting in the environment.
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
        # If an existing provider fails to import another module, its own error is more useful.
        if missing.name is None or not f"{path}.".startswith(f"{missing.name}."):
            raise
        raise ModuleNotFoundError(_unknown_provider(name), name=path) from None


def _unknown_provider(name: str) -> str:
    providers = import_module(f"{__package__}.providers")
    modules = {module.name for module in iter_modules(providers.__path__)} - _NOT_PROVIDERS
    close = get_close_matches(name, [*sorted(modules), *_ALIASES], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"SESSION_PROVIDER names no provider: {name!r}. Available are {', '.join(sorted(modules))}.{hint}"


__all__ = ["factory_for_env"]
