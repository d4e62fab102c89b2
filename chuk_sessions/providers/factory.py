"""The type that the `factory()` of a provider returns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from ..backends.base import Backend, Store

S = TypeVar("S", bound=Store)


class Factory(Generic[S]):
    """A callable that opens provider sessions: `async with factory() as session`. Creating it opens no connection.

    Attributes:
        backend: the store of its sessions, and of every SessionManager that gets this factory.

    """

    def __init__(self, backend: Backend, new_session: Callable[[], S]) -> None:
        self.backend = backend
        self._new_session = new_session

    def __call__(self) -> AbstractAsyncContextManager[S]:
        """Return a context manager that yields a session."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[S]:
        session = self._new_session()
        try:
            yield session
        finally:
            await session.close()
