"""A store of py-key-value-aio, for FastMCP's `session_state_store` and other MCP servers.

    from chuk_sessions.integrations.key_value import ChukStore
    from fastmcp import FastMCP

    server = FastMCP("shop", session_state_store=ChukStore())

Install it with `chuk-sessions[redis,key-value]`. Provider, URL and sandbox come from the environment (SESSION_PROVIDER,
SESSION_REDIS_URL, CHUK_SANDBOX_ID). The store has a sandbox of its own, `SANDBOX.key-value`.

A value is written as a whole, so two concurrent writers overwrite each other, as with every store of that library. To
change single keys of a session without losing any, use a SessionManager in the tools of the server.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

from key_value.aio.errors import DeserializationError, SerializationError
from key_value.aio.stores.base import BaseCullStore, BaseDestroyStore, ManagedEntry

from .. import CorruptRecordError, InvalidMetadataError, MetadataTooLargeError, SessionManager
from .upserts import SessionFactory, Upserts, run_all, value_id
from .values import Values

_Entry = tuple[dict[str, Any] | None, float | None]


class _JsonText:
    """The library's own serializer, for values that JSON would change: tuples become lists, NaN stays NaN."""

    dumps = staticmethod(json.dumps)
    loads = staticmethod(json.loads)


_VALUES = Values(_JsonText())


class ChukStore(BaseDestroyStore, BaseCullStore):
    """A store with a sandbox of its own. Creating it needs no event loop, and it works in several loops and threads.

    Names of collections and keys may be any text of any length: the store has only their hashes. It therefore cannot
    list keys and collections, or delete a single collection. `destroy` deletes all values, and `cull` the expired ones.

    Store failures raise a subclass of `chuk_sessions.ProviderError`.
    """

    def __init__(
        self,
        *,
        manager: SessionManager | None = None,
        session_factory: SessionFactory | None = None,
        sandbox_id: str | None = None,
        default_collection: str | None = None,
    ) -> None:
        """Create a store; nothing is sent.

        Args:
            manager: a manager whose sandbox belongs to this store; the application closes it. Without one, the store
                has a manager of its own, and values may have up to 16 MiB.
            session_factory: the provider of the store's own manager, by default the environment's.
            sandbox_id: the sandbox, by default `SANDBOX.key-value`, where SANDBOX is CHUK_SANDBOX_ID or `web`.
            default_collection: the collection of calls that name none.

        Raises:
            ValueError: there are both a manager and arguments for one, or an argument is malformed.

        """
        self._values = Upserts("key-value", manager=manager, session_factory=session_factory, sandbox_id=sandbox_id)
        super().__init__(default_collection=default_collection, stable_api=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections of the running event loop. The next call opens new ones."""
        await self._values.aclose()

    async def setup(self) -> None:
        """Do nothing: the store needs no setup, and no locks that belong to one event loop."""

    async def setup_collection(self, *, collection: str) -> None:
        """Do nothing: collections need no setup."""

    async def ttl(self, key: str, *, collection: str | None = None) -> _Entry:
        """Return a value and the seconds until it expires, None if it does not; (None, None) if there is no value."""
        return await self._get_with_ttl(collection or self.default_collection, key)

    async def ttl_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[_Entry]:
        """Return what `ttl` returns, for several keys."""
        name = collection or self.default_collection
        return await run_all(self._get_with_ttl(name, key) for key in keys)

    async def _get_with_ttl(self, collection: str, key: str) -> _Entry:
        found = await self._values.get_with_ttl(value_id(collection, key))
        return (None, None) if found is None else (_loaded(found[0]), found[1])

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        # The server has decided that the value is alive. An entry without its deadline keeps this host's clock out.
        found = await self._values.get(value_id(collection, key))
        return None if found is None else ManagedEntry(value=_loaded(found[0]))

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        return await run_all(self._get_managed_entry(collection=collection, key=key) for key in keys)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._put(collection, key, _dumped(managed_entry), managed_entry)

    async def _put_managed_entries(
        self,
        *,
        collection: str,
        keys: Sequence[str],
        managed_entries: Sequence[ManagedEntry],
        ttl: float | None,
        created_at: datetime,
        expires_at: datetime | None,
    ) -> None:
        # All values are encoded before the first one is stored. Of several values for a key, the last one counts.
        entries = {key: (_dumped(entry), entry) for key, entry in zip(keys, managed_entries, strict=True)}
        await run_all(self._put(collection, key, *entry) for key, entry in entries.items())

    async def _put(self, collection: str, key: str, value: Any, entry: ManagedEntry) -> None:
        ttl = None
        if entry.expires_at is not None and entry.created_at is not None:
            ttl = max(0.001, (entry.expires_at - entry.created_at).total_seconds())
        try:
            await self._values.put(value_id(collection, key), value, ttl)
        except MetadataTooLargeError:
            raise
        except InvalidMetadataError as error:
            raise SerializationError(f"the value cannot be stored as JSON: {error}") from error

    async def _delete_managed_entry(self, *, key: str, collection: str) -> bool:
        return await self._values.delete(value_id(collection, key))

    async def _delete_managed_entries(self, *, keys: Sequence[str], collection: str) -> int:
        return sum(await run_all(self._delete_managed_entry(key=key, collection=collection) for key in keys))

    async def _delete_store(self) -> bool:
        await self._values.delete_all()
        return True

    async def _cull(self) -> None:
        await self._values.manager.cleanup_expired_sessions()


def _dumped(entry: ManagedEntry) -> Any:
    try:
        return _VALUES.dump(entry.value_as_dict)
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationError(f"the value cannot be represented as JSON: {error}") from error


def _loaded(stored: Any) -> dict[str, Any]:
    try:
        value = _VALUES.load(stored)
    except CorruptRecordError as error:
        raise DeserializationError("the stored value cannot be decoded") from error
    if not isinstance(value, dict):
        raise DeserializationError("the stored value is not a dict")
    return value


__all__ = ["ChukStore"]
