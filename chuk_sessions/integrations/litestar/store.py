"""A store for Litestar's `stores`."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Any

from litestar.stores.base import NamespacedStore

from ... import SessionManager
from ..upserts import SessionFactory, Upserts, value_id
from ..values import Values

_VALUES = Values()


class ChukStore(NamespacedStore):
    """A store with a sandbox of its own, which works in several event loops and threads.

    Keys may be any text: the store has only their hashes. `delete_all` deletes the values in the store's sandbox and
    nothing else. Each namespace has a sandbox of its own, whose values the parent's `delete_all` deletes, too.

    Store failures raise a subclass of `chuk_sessions.ProviderError`.
    """

    __slots__ = ("_values",)

    namespace: str | None

    def __init__(
        self,
        *,
        manager: SessionManager | None = None,
        session_factory: SessionFactory | None = None,
        sandbox_id: str | None = None,
    ) -> None:
        """Create a store; nothing is sent.

        Args:
            manager: a manager whose sandbox belongs to this store; the application closes it. Without one, the store
                has a manager of its own, and values may have up to 16 MiB.
            session_factory: the provider of the store's own manager, by default the environment's.
            sandbox_id: the sandbox, by default `SANDBOX.litestar`, where SANDBOX is CHUK_SANDBOX_ID or `web`.

        Raises:
            ValueError: there are both a manager and arguments for one, or an argument is malformed.

        """
        self.namespace = None
        self._values = Upserts("litestar", manager=manager, session_factory=session_factory, sandbox_id=sandbox_id)

    def with_namespace(self, namespace: str) -> ChukStore:
        """Return the store of a namespace within this one, as `StoreRegistry(default_factory=...)` needs it."""
        store = type(self).__new__(type(self))
        store.namespace = f"{self.namespace}_{namespace}" if self.namespace else namespace
        store._values = self._values.child(namespace)
        return store

    async def set(self, key: str, value: str | bytes, expires_in: int | timedelta | None = None) -> None:
        """Store a value, replacing what is there. It expires after `expires_in` seconds; without, never.

        Raises:
            ValueError: `expires_in` is not positive, or a text cannot be encoded as UTF-8.
            MetadataTooLargeError: the value is too large.

        """
        ttl = None if expires_in is None else _seconds(expires_in, "expires_in")
        await self._values.put(value_id(key), _dumped(value), ttl)

    async def get(self, key: str, renew_for: int | timedelta | None = None) -> bytes | None:
        """Return a value, or None. With `renew_for`, a value that was set to expire then has that many seconds left.

        Raises:
            ValueError: `renew_for` is negative.

        """
        seconds = _seconds(renew_for, "renew_for") if renew_for else None
        found = await self._values.get(value_id(key), seconds)
        return None if found is None else _loaded(found[0])

    async def delete(self, key: str) -> None:
        """Delete a value, if there is one."""
        await self._values.delete(value_id(key))

    async def delete_all(self) -> None:
        """Delete all values of this store, and of all namespaces within. Values that are set meanwhile may stay."""
        await self._values.delete_all()

    async def delete_expired(self) -> None:
        """Remove the index entries of expired values. The server expires the values themselves."""
        await self._values.manager.cleanup_expired_sessions()

    async def exists(self, key: str) -> bool:
        """Return whether there is a value."""
        return await self._values.exists(value_id(key))

    async def expires_in(self, key: str) -> int | None:
        """Return the seconds until a value expires, -1 if it does not, and None if there is no value."""
        found = await self._values.get_with_ttl(value_id(key))
        if found is None:
            return None
        return -1 if found[1] is None else round(found[1])

    async def aclose(self) -> None:
        """Close the connections of the running event loop, also those of namespaces. The next call opens new ones."""
        await self._values.aclose()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


def _seconds(duration: float | timedelta, name: str) -> float:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if not seconds > 0:
        raise ValueError(f"{name} must be positive")
    return seconds


def _dumped(value: str | bytes) -> Any:
    """Return bytes as they are stored: as text if they are UTF-8, which is smaller and readable, else as base64."""
    data = value.encode() if isinstance(value, str) else bytes(value)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _VALUES.dump(data)


def _loaded(stored: Any) -> bytes:
    value = _VALUES.load(stored)
    return value if isinstance(value, bytes) else value.encode()


__all__ = ["ChukStore"]
