"""The shortest way to the provider API."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from .provider_factory import factory_for_env


def get_session() -> AbstractAsyncContextManager[Any]:
    """A session of the environment's provider: `async with get_session() as session`."""
    return factory_for_env()()


session = get_session

__all__ = ["get_session", "session"]
