"""Values under keys of an application's choice, for stores whose `set` replaces a whole value.

Each value is a session of its own in a sandbox that belongs to the store. The id is a hash of the key, so keys may be
any text. Other than for the sessions of users, a write replaces what is there, and restores what was deleted.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime
from functools import partial
from typing import Any, Final, Self, TypeVar
from weakref import WeakSet

from .. import MetadataConflictError, OutcomeUnknownError, SessionManager, session_hash
from .env import manager_for, sandbox_for_env

T = TypeVar("T")

MAX_VALUE_BYTES: Final = 16 * 1024 * 1024
"""Most bytes of a value as JSON, unless the application passes a manager of its own."""

_MAX_HOURS: Final = 100 * 366 * 24
_NAMESPACES: Final = "namespaces"
"""The id of the record that lists the sandboxes of namespaces. No hash of a key is equal to it."""
_EXPIRES: Final = {"expires": True}
"""A metadata entry of values that expire."""
_BATCH: Final = 256
"""Values that are deleted concurrently."""
_MAX_SANDBOX: Final = 128
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII).fullmatch


SessionFactory = Callable[[], AbstractAsyncContextManager[Any]]
"""The factory of a provider, such as `chuk_sessions.providers.redis.factory(url)`."""


class Upserts:
    """The values of one sandbox.

    A manager of its own is closed by `aclose`, and replaced at the next use. One that the application has passed stays
    open.
    """

    def __init__(
        self,
        kind: str = "",
        *,
        manager: SessionManager | None = None,
        session_factory: SessionFactory | None = None,
        sandbox_id: str | None = None,
        parent: Upserts | None = None,
    ) -> None:
        """Create the object; nothing is sent. Without a sandbox, it is `SANDBOX.kind`, with that of the environment."""
        self._is_owner = manager is None
        self._arguments: dict[str, Any] = {"session_factory": session_factory, "sandbox_id": sandbox_id}
        if manager is None:
            self._arguments["sandbox_id"] = sandbox_id or f"{sandbox_for_env()}.{kind}"
            limits = {"max_metadata_bytes": MAX_VALUE_BYTES, "max_session_bytes": MAX_VALUE_BYTES}
            self._arguments |= limits
        self._manager: SessionManager | None = manager_for(SessionManager, manager, **self._arguments)
        self._parent, self._is_registered = parent, parent is None
        self._children: WeakSet[Upserts] = WeakSet()

    @property
    def manager(self) -> SessionManager:
        """The manager of the values."""
        if self._manager is None:
            self._manager = manager_for(SessionManager, **self._arguments)
        return self._manager

    def child(self, name: str) -> Self:
        """Return the values of a namespace within this one. `delete_all` of this one deletes them, too."""
        return self._child_at(_child_sandbox(self.manager.sandbox_id, name))

    def _child_at(self, sandbox_id: str) -> Self:
        factory = self.manager.session_factory
        child = type(self)(session_factory=factory, sandbox_id=sandbox_id, parent=self)
        self._children.add(child)
        return child

    async def put(self, value_id: str, value: Any, ttl_seconds: float | None) -> None:
        """Store a value that JSON represents exactly, for a time or without limit. Applied exactly once.

        Raises:
            InvalidMetadataError: JSON cannot represent the value exactly.
            MetadataTooLargeError: it is too large.

        """
        await self._register()
        hours = math.inf if ttl_seconds is None else min(ttl_seconds / 3600, _MAX_HOURS)
        metadata = {"value": value, **({} if ttl_seconds is None else _EXPIRES)}
        await self.manager.allocate_session(value_id, ttl_hours=hours, custom_metadata=metadata, mode="replace")

    async def get(self, value_id: str, renew_for: float | None = None) -> tuple[Any] | None:
        """Return the value in a tuple, or None if there is none. With `renew_for`, a value that expires then has that
        many seconds left.
        """
        session = await self.manager.get_session_metadata(value_id)
        if session is None:
            return None
        if (
            renew_for is not None
            and "expires" in session.custom_metadata
            and not await self._renew(value_id, renew_for)
        ):
            return None
        return (session.custom_metadata.get("value"),)

    async def get_with_ttl(self, value_id: str) -> tuple[Any, float | None] | None:
        """Return the value and the seconds until it expires (None if it does not), or None if there is none.

        The server's clock counts, because the store notes the time of this access.
        """
        session = await self.manager.load_session(value_id)
        if session is None:
            return None
        ttl = None
        if "expires" in session.custom_metadata:
            deadline, now = datetime.fromisoformat(session.expires_at or ""), session.last_accessed or ""
            ttl = max(0.0, (deadline - datetime.fromisoformat(now)).total_seconds())
        return session.custom_metadata.get("value"), ttl

    async def exists(self, value_id: str) -> bool:
        """Return whether there is a value."""
        return await self.manager.validate_session(value_id)

    async def delete(self, value_id: str) -> bool:
        """Delete a value, and return whether there was one."""
        return await self.manager.delete_session(value_id)

    async def delete_all(self) -> None:
        """Delete all values, and those of all namespaces within. Values that are written meanwhile may stay."""
        listed = await self.manager.get_session_metadata(_NAMESPACES)
        for sandbox_id in listed.custom_metadata if listed else ():
            await self._child_at(sandbox_id).delete_all()
        async for batch in self._batches():
            await run_all(self.manager.revoke_session(reference) for reference in batch)

    async def aclose(self) -> None:
        """Close the manager, unless the application has passed it, and those of namespaces."""
        await run_all(child.aclose() for child in list(self._children))
        if self._is_owner and self._manager is not None:
            manager, self._manager = self._manager, None
            await manager.aclose()

    async def _batches(self) -> AsyncIterator[Sequence[str]]:
        """Yield the references of all values, some at a time."""
        kept, batch = session_hash(_NAMESPACES), []
        async with aclosing(self.manager.iter_sessions()) as references:
            async for reference in references:
                if reference != kept:
                    batch.append(reference)
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
        yield batch

    async def _renew(self, value_id: str, seconds: float) -> bool:
        """Move the deadline of a value that expires. Return False if there is none.

        A value without a deadline may have replaced it. Then it keeps having none.
        """
        renew = partial(self.manager.update_session_metadata, value_id, {}, expected=_EXPIRES, ttl_seconds=seconds)
        try:
            try:
                return await renew()
            except OutcomeUnknownError:
                # It is harmless to repeat.
                return await renew()
        except MetadataConflictError:
            return True

    async def _register(self) -> None:
        """Note this namespace in the parent's list, so that the parent's `delete_all` finds it."""
        if self._parent is not None and not self._is_registered:
            await self._parent._list(self.manager.sandbox_id)
            self._is_registered = True

    async def _list(self, sandbox_id: str) -> None:
        await self._register()
        entry = {sandbox_id: True}
        while not await self.manager.update_session_metadata(_NAMESPACES, entry, idempotency_key=sandbox_id):
            await self.manager.allocate_session(_NAMESPACES, ttl_hours=math.inf)


def value_id(*parts: str) -> str:
    """Return the id of the value under a key of several parts, such as a collection and a key."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


async def run_all(calls: Iterable[Awaitable[T]]) -> list[T]:
    """Await all calls concurrently, and return their results. If some fail, raise the first error once all are done."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results  # type: ignore[return-value]


def _child_sandbox(sandbox_id: str, name: str) -> str:
    """Return the sandbox of a namespace. Different namespaces have different ones."""
    plain = f"{sandbox_id}.{name}"
    if _PLAIN_NAME(name) and len(plain) <= _MAX_SANDBOX:
        return plain
    return f"{sandbox_id[:60]}.~{value_id(sandbox_id, name)[:40]}"
