"""A shortcut to the provider API."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from .provider_factory import factory_for_env


def get_session() -> AbstractAsyncContextManager[Any]:
    """Return a context manager that yields a session of the environment's provider.

    Use it with `async with get_session() as session`. Raises as `factory_for_env` does.
    """
    return factory_for_env()()


session = get_session

__all__ = ["get_session", "session"]
