"""What a provider's `factory()` gives: called, it opens a session; SessionManager finds the backend on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from ..backends.base import Backend, Store

S = TypeVar("S", bound=Store)


class Factory(Generic[S]):
    """Opens provider sessions: `async with factory() as session`. Making one opens no connection.

    Attributes:
        backend: what the sessions, and a SessionManager given this factory, run on.

    """

    def __init__(self, backend: Backend, make: Callable[[], S]) -> None:
        self.backend = backend
        self._make = make

    def __call__(self) -> AbstractAsyncContextManager[S]:
        """A context manager that yields a session."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[S]:
        session = self._make()
        try:
            yield session
        finally:
            await session.close()
