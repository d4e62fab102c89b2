"""Stores and sandboxes: those that a command line names, or else those of the environment."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .. import factory_for_env, settings
from .exits import UsageError

MEMORY_URL = "memory://"
"""The emulator of this process, for tests."""


def factory_of(url: str | None) -> Any:
    """Return the session factory of the store at a URL, or of the environment's store.

    In the environment, SESSION_PROVIDER may name another provider than Redis. Otherwise, the URL is SESSION_REDIS_URL,
    or REDIS_URL, or that of the local server.

    Raises:
        ValueError: the URL is malformed.
        ProviderError: the packages of the extra `redis` are missing.

    """
    env = settings.from_env()
    if url is None and env.provider_given:
        return factory_for_env()
    provider = "memory" if url == MEMORY_URL else "redis"
    module = import_module(f"..providers.{provider}", __package__)
    return module.factory() if url == MEMORY_URL else module.factory(url)


def sandbox_of(name: str | None) -> str:
    """Return the name of the sandbox that was given, or that of the environment. Raises UsageError without one."""
    found = name or settings.from_env().sandbox_id
    if found is None:
        raise UsageError("name a sandbox with --sandbox or CHUK_SANDBOX_ID")
    return found
