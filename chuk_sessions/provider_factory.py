"""Picks the provider that the environment names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Any

from . import settings

_ALIASES = {"mem": "memory", "inmemory": "memory", "redis_store": "redis"}


def factory_for_env() -> Callable[[], AbstractAsyncContextManager[Any]]:
    """The factory of the provider named by SESSION_PROVIDER (`memory` by default): `async with factory() as session`.

    The name stands for the module `chuk_sessions.providers.NAME`, whose `factory()` is looked up now. Raises
    ModuleNotFoundError for a name without a module, AttributeError for a module without `factory`.
    """
    name = settings.from_env().provider
    module = import_module(f"{__package__}.providers.{_ALIASES.get(name, name)}")
    factory: Callable[[], AbstractAsyncContextManager[Any]] = module.factory()
    return factory


__all__ = ["factory_for_env"]
