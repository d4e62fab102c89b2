"""The format of chuk-sessions 0.6: JSON text under `session:ID`, in any sandbox."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final, Literal

from ..backends.base import KeyServer, ScansKeys
from ..core import ids, validation
from ..exceptions import CorruptRecordError, NotSupportedError
from .source import Found, SourceSession, Unreadable

logger = logging.getLogger(__name__)

PREFIX: Final = "session:"
EVERY: Final = "*"
"""Stands for every sandbox."""
_PAGE: Final = 256
_MAX_MS: Final = 10**15


def redis_factory(url: str) -> Any:
    """Return the factory of the Redis provider for a URL. Raises ValueError for a malformed one."""
    return import_module("..providers.redis", __package__).factory(url)


def parse(session_id: str, text: str) -> SourceSession:
    """Return the session in a value under the key of `session_id`.

    Raises:
        ValueError: it is not one, or its id, sandbox, or user is not valid in this version.

    """
    located = ids.locate(session_id)
    if located is None:
        raise ValueError("its id has characters that are no longer valid, or is too long")
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("session_id") != session_id:
        raise ValueError("it is not a session")
    sandbox_id, user_id, metadata = data.get("sandbox_id"), data.get("user_id"), data.get("custom_metadata") or {}
    if not ids.is_name(sandbox_id, validation.MAX_SANDBOX_LENGTH):
        raise ValueError("its sandbox has a name that is no longer valid")
    if not isinstance(metadata, dict):
        raise ValueError("its metadata is not a dict")
    created = _ms(data.get("created_at"))
    return SourceSession(
        *located,
        sandbox_id=str(sandbox_id),
        user_id=validation.owner(user_id) if user_id else None,
        created=created,
        deadline=_ms(data.get("expires_at")),
        accessed=_ms(data.get("last_accessed"), created),
        metadata=metadata,
        origin=(session_id, text),
    )


def _ms(text: Any, default: int | None = None) -> int:
    """Return an ISO 8601 time in ms since 1970."""
    if text is None and default is not None:
        return default
    if not isinstance(text, str):
        raise ValueError("it lacks a time")
    moment = datetime.fromisoformat(text)
    ms = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    if not 0 <= ms < _MAX_MS:
        raise ValueError("it has a time before 1970 or too far in the future")
    return ms


class PublishedSource:
    """A store of chuk-sessions 0.6.

    Attributes:
        sandboxes: the names of the sandboxes whose sessions are read; EVERY for all; or None: all when sessions are
            listed, and the manager's own when one is looked up.

    """

    def __init__(
        self,
        factory: Callable[[], AbstractAsyncContextManager[Any]],
        *,
        sandboxes: Collection[str] | Literal["*"] | None = None,
    ) -> None:
        """Create a source; nothing is sent. `factory` is that of a provider of this version, on the old store."""
        self.sandboxes = sandboxes
        self._factory = factory

    def may_have(self, session_id: str) -> bool:
        """Return whether the id may come from 0.6: its generated ids were shorter than those of this version."""
        return not ids.is_generated(session_id)

    async def read(self, sandbox_id: str, session_id: str) -> SourceSession | None:
        """Return a session of one of the sandboxes; by default, of the one given."""
        async with self._factory() as store:
            found = await self._get(store, session_id)
        if isinstance(found, Unreadable):
            logger.warning("session %s of the source is not adopted: %s", found.name, found.reason)
            return None
        wanted = (sandbox_id,) if self.sandboxes is None else self.sandboxes
        return found if found and (wanted == EVERY or found.sandbox_id in wanted) else None

    async def remove_one(self, sandbox_id: str, session_id: str) -> bool:
        """Remove a session that `read` would return."""
        found = await self.read(sandbox_id, session_id)
        if found is None:
            return False
        async with self._factory() as store:
            return bool(await store.delete(PREFIX + session_id))

    async def remove(self, session: SourceSession) -> bool:
        """Remove a session, unless it has changed. Old processes may still write it again."""
        session_id, text = session.origin
        async with self._factory() as store:
            return await store.get(PREFIX + session_id) == text and bool(await store.delete(PREFIX + session_id))

    async def parts(self) -> Sequence[_Part]:
        """Return a part for each server of the store.

        Raises NotSupportedError if the provider cannot list its keys.
        """
        backend = getattr(self._factory, "backend", None)
        if not isinstance(backend, ScansKeys):
            raise NotSupportedError("a custom provider cannot list its sessions; it can only be read through")
        return [_Part(self, server) for server in await backend.key_servers()]

    async def fetch(self, keys: Sequence[str]) -> list[Found]:
        """Return the sessions under some keys. Those of other sandboxes are left out."""
        async with self._factory() as store:
            found = await asyncio.gather(*[self._get(store, key.removeprefix(PREFIX)) for key in keys])
        return [each for each in found if each is not None and self._is_wanted(each)]

    def _is_wanted(self, found: Found) -> bool:
        return self.sandboxes in (None, EVERY) or isinstance(found, Unreadable) or found.sandbox_id in self.sandboxes

    async def _get(self, store: Any, session_id: str) -> Found | None:
        name = ids.session_hash(session_id)
        try:
            text = await store.get(PREFIX + session_id)
            return None if text is None else parse(session_id, text)
        except (ValueError, OverflowError, RecursionError) as error:
            return Unreadable(name, str(error).splitlines()[0][:100])
        except CorruptRecordError:
            return Unreadable(name, "it is not text")


class _Part:
    """The sessions on one server. Its cursor is that of SCAN."""

    def __init__(self, source: PublishedSource, server: KeyServer) -> None:
        self.name = server.name
        self.layout = server.slots
        self._source = source
        self._server = server

    async def page(self, cursor: str) -> tuple[list[Found], str]:
        """Return the sessions under the next keys. SCAN may return a key twice."""
        keys, following = await self._server.scan(PREFIX, cursor, _PAGE)
        return await self._source.fetch(list(dict.fromkeys(keys))), following
