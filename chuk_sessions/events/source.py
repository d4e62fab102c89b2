"""Sources of events: stores that have streams, given as a session factory or a URL."""

from __future__ import annotations

from weakref import finalize

from ..backends.base import Backend
from ..backends.custom import CustomBackend
from ..backends.sharing import SessionFactory, backend_of, count_managers
from ..exceptions import NotSupportedError


class Source:
    """A store, and a share in its connections."""

    def __init__(self, source: SessionFactory | str) -> None:
        """Open nothing yet.

        Raises:
            ValueError: `source` is neither a session factory nor a valid URL.
            NotSupportedError: it is the factory of a custom provider.

        """
        self.backend: Backend = backend_of(_factory(source))
        if isinstance(self.backend, CustomBackend):
            raise NotSupportedError("a custom provider has no events: use Redis, Valkey, or the emulator")
        count_managers(self.backend, 1)
        self._release = finalize(self, count_managers, self.backend, -1)

    async def aclose(self) -> None:
        """Close the connections of the running event loop, unless an open manager or reader shares them."""
        if self._release() == 0:
            await self.backend.aclose()


def _factory(source: SessionFactory | str) -> SessionFactory:
    if isinstance(source, str):
        from ..providers import redis  # noqa: PLC0415  (the emulator needs no package for Redis)

        return redis.factory(source)
    if not callable(source):
        raise ValueError(f"the source must be a session factory or a URL, not {type(source).__name__}")
    return source
