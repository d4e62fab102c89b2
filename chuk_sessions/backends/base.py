"""The seam between what an operation means and what carries it out."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from ..core.operation import Call, Reply, RetryCalls
from ..models import Health


class Store(Protocol):
    """The provider API of one open session: single values under keys that are taken as given.

    `ttl` is in seconds, a positive number of at most a hundred years (ValueError). Values are text, or bytes that are
    UTF-8 (ValueError); `get` and `getdel` give text.
    """

    async def set(self, key: str, value: str | bytes) -> None:
        """Store with the default TTL."""

    async def setex(self, key: str, ttl: float, value: str | bytes) -> None:
        """Store for `ttl` seconds."""

    async def get(self, key: str) -> str | None:
        """The value, or None."""

    async def getdel(self, key: str) -> str | None:
        """The value, which is gone then: of many callers one has it."""

    async def delete(self, key: str) -> bool:
        """Whether there was something to delete."""

    async def close(self) -> None:
        """Nothing is held open for one session; here for symmetry."""


class Backend(Protocol):
    """Runs operations. Safe to share between tasks, threads and event loops."""

    name: str

    def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Coroutine[Any, Any, Reply]:
        """Run one operation in one atomic step. Raises errors under ProviderError, never for a status.

        After a lost reply a repeat is what `retry_calls` returns, if that is given, and the reply is the last one
        given. Otherwise it is the same call.
        """

    async def ping(self) -> Health:
        """Ask the store whether it answers, and how it is. Raises errors under ProviderError when it does not."""

    async def aclose(self) -> None:
        """Close what this event loop holds open. A later `run` opens it again."""
