"""The format of this version as a source: a sandbox on any provider, whose sessions move to another store or name."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import islice
from typing import Any, Final

from ..backends.base import Backend
from ..core import ids, index_operations, keys, operations
from ..core import statuses as s
from ..core.index_operations import PAGE_LIMIT, START
from ..core.keys import SessionKeys
from ..core.operation import Reply
from ..core.record import FIELDS, Copy, Record, fields_of
from ..core.values import SALT, json_codec
from ..engine.executor import Executor
from ..exceptions import CorruptRecordError, KeyUnavailableError, NotSupportedError
from ..models import ValueEncryption
from .source import Found, SourceSession, Unreadable

logger = logging.getLogger(__name__)

_CONCURRENT_READS: Final = 64
COPIED: Final = {name for name, field in FIELDS.items() if Copy.MOVE in field.copies} - {b"c", b"v", b"m:", b"e", SALT}
"""The fields that are copied as they are stored."""


class SandboxSource:
    """A sandbox of this version, on any provider.

    Attributes:
        sandbox_id: its name.

    """

    def __init__(
        self,
        factory: Callable[[], AbstractAsyncContextManager[Any]],
        sandbox_id: str,
        encryption: ValueEncryption | None = None,
    ) -> None:
        """Create a source; nothing is sent. `encryption` is needed if the sessions there are encrypted.

        Raises NotSupportedError for a custom provider, which cannot list its sessions.
        """
        backend: Backend | None = getattr(factory, "backend", None)
        if backend is None:
            raise NotSupportedError("a custom provider has no index, so its sessions cannot be listed")
        self.sandbox_id = ids.check_name(sandbox_id, "sandbox_id")
        values = (json_codec if encryption is None else encryption.codec)(sandbox_id)
        self.executor = Executor(backend, sandbox_id, values)

    def may_have(self, _session_id: str) -> bool:
        """Return True: any id may come from there."""
        return True

    async def read(self, _sandbox_id: str, session_id: str) -> SourceSession | None:
        """Return a session, whatever the target calls the sandbox. The id may be an old one, which has been rotated."""
        target = keys.find(self.sandbox_id, session_id)
        if target is None:
            return None
        found = self._found(target, await self.executor.submit(operations.read(target)))
        if isinstance(found, Unreadable):
            raise CorruptRecordError(f"session {found.name} of the source cannot be adopted: {found.reason}")
        return found

    async def remove_one(self, _sandbox_id: str, session_id: str) -> bool:
        """Remove a session."""
        target = keys.find(self.sandbox_id, session_id)
        return target is not None and (await self.executor.execute(operations.delete(target)))[0] == s.OK

    async def remove(self, session: SourceSession) -> bool:
        """Remove a session, unless it has changed. It has not ended, so no event tells of it."""
        target = keys.session_keys_for_handle(self.sandbox_id, session.bucket, session.handle)
        call = operations.delete(target, b"", version=session.version, created=session.created)
        reply = await self.executor.submit(call)
        return bool(reply[0] == s.OK)

    async def parts(self) -> Sequence[_Bucket]:
        """Return a part for each bucket."""
        return [_Bucket(self, bucket) for bucket in range(ids.BUCKETS)]

    async def fetch(self, targets: Sequence[SessionKeys], as_stored: bool = False) -> list[Found]:
        """Return the sessions with some keys. Those that have ended are left out."""
        reads = [operations.read(target) for target in targets]
        replies = await self.executor.execute_all(reads, accepted=(s.CORRUPT,))
        found = [self._found(target, reply, as_stored) for target, reply in zip(targets, replies, strict=True)]
        return [each for each in found if each is not None]

    def _found(self, target: SessionKeys, reply: Reply, as_stored: bool = False) -> Found | None:
        if reply[0] in (s.GONE, s.MOVED):
            return None
        place = target.index_keys.bucket, target.handle
        try:
            s.check(operations.READ, reply)
            if as_stored:
                return SourceSession(*place, self.sandbox_id, None, 0, 0, 0, origin=fields_of(reply[1]))
            return self.session(*place, self.sandbox_id, Record.from_reply(reply[1], self.executor.values))
        except (CorruptRecordError, KeyUnavailableError) as error:
            return Unreadable(target.reference, str(error))

    @staticmethod
    def session(bucket: int, handle: bytes, sandbox_id: str, record: Record) -> SourceSession:
        """Return the session in a record. Raises what `Record.metadata` raises."""
        return SourceSession(
            bucket,
            handle,
            sandbox_id,
            record.user_id,
            record.created,
            record.deadline,
            record.accessed,
            record.idle,
            record.version,
            record.metadata(),
            {name: value for name, value in record.fields.items() if name[:2] in COPIED},
        )


class _Bucket:
    """The sessions in one bucket. Its cursor is that of the index."""

    def __init__(self, source: SandboxSource, bucket: int) -> None:
        self.name = f"{bucket:02x}"
        self.layout = ""
        self._source = source
        self._index = keys.index(source.sandbox_id, bucket)

    async def page(self, cursor: str, as_stored: bool = False) -> tuple[list[Found], str]:
        """Return the sessions in the next page of the index."""
        after = tuple(part.encode("latin-1") for part in json.loads(cursor)) if cursor else START
        call = index_operations.list_(self._index, user=None, limit=PAGE_LIMIT, after=after)
        reply = await self._source.executor.execute(call)
        handles = iter([handle for handle in reply[1] if ids.is_handle(handle)])
        found: list[Found] = []
        while group := list(islice(handles, _CONCURRENT_READS)):
            targets = [keys.session_keys_for_entry(self._index, handle) for handle in group]
            found += await self._source.fetch(targets, as_stored)
        following = index_operations.cursor(reply)
        return found, json.dumps([part.decode("latin-1") for part in following]) if following else ""
