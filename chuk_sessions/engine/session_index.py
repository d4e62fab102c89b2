"""Sessions of a sandbox or of a user: listed and counted from the indexes of all buckets."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable, Iterator
from heapq import merge
from itertools import islice

from .. import exceptions as errors
from ..core import ids, keys, operations
from ..core import statuses as s
from ..core.operation import Call, Reply
from ..core.operations import PAGE_LIMIT, Cursor
from ..core.record import Record
from ..models import SessionMetadata
from .executor import Executor
from .pacing import Pace
from .paging import Ask, Pages

logger = logging.getLogger(__name__)

_READS = 64
"""Records that are read side by side: they may be large."""

_RUN = 5000
"""Sessions that are sorted at once."""

_FEW = 256
"""A list that is shorter than this asks only some buckets at a time."""


class SessionIndex:
    """Lists and counts the sessions of one sandbox."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._sandbox = executor.sandbox_id

    async def session_ids(self, limit: int) -> list[str]:
        """Return ids of live sessions of the sandbox, at most `limit`."""
        found: list[str] = []
        # An entry that moves while the pages of its bucket are read may come twice.
        seen: dict[int, set[str]] = {}
        entries, pace = _Entries(), Pace()
        pages = Pages(self._executor, self._list_of(None), wide=limit >= _FEW)
        while len(found) < limit and (replies := await pages.next(limit - len(found))):
            for bucket, reply in replies:
                known = seen.pop(bucket, set())
                for session_id in entries.ids(bucket, reply[1]):
                    if session_id not in known:
                        known.add(session_id)
                        found.append(session_id)
                    if pace.is_due():
                        await pace.give_way()
                if operations.cursor(reply) is not None:
                    seen[bucket] = known
        del found[limit:]
        return found

    async def iter_ids(self) -> AsyncGenerator[str, None]:
        """Yield the ids of all live sessions of the sandbox."""
        entries, pace = _Entries(), Pace()
        pages = Pages(self._executor, self._list_of(None), wide=False)
        while replies := await pages.next():
            for bucket, reply in replies:
                for session_id in entries.ids(bucket, reply[1]):
                    yield session_id
                    if pace.is_due():
                        await pace.give_way()

    async def sessions_of(self, user_id: str) -> list[SessionMetadata]:
        """Return the live sessions of a user, oldest first. Records that cannot be read are left out."""
        found = [(created, session.session_id, session) async for created, session in self._sessions_of(user_id)]
        pace, ordered = Pace(), []
        # Sorted in runs: to sort very many at once would hold up the event loop.
        for _, _, session in merge(*[sorted(found[first : first + _RUN]) for first in range(0, len(found), _RUN)]):
            ordered.append(session)
            if pace.is_due():
                await pace.give_way()
        return ordered

    async def iter_sessions_of(self, user_id: str) -> AsyncGenerator[SessionMetadata, None]:
        """Yield the live sessions of a user. Records that cannot be read are left out."""
        async for _, session in self._sessions_of(user_id):
            yield session

    async def count(self, user_id: str | None) -> int:
        """Return how many live sessions the sandbox, or a user in it, has."""
        user = None if user_id is None else ids.user_hash(user_id)

        def ask(bucket: int, limit: int, after: Cursor) -> Call:
            return operations.count(keys.index(self._sandbox, bucket), user=user, limit=limit, after=after)

        pages, number = Pages(self._executor, ask, least=PAGE_LIMIT), 0
        while replies := await pages.next():
            number += sum(reply[1] for _, reply in replies)
        return number

    async def _sessions_of(self, user_id: str) -> AsyncGenerator[tuple[int, SessionMetadata], None]:
        """Yield the live sessions of a user, each with the time of its creation in ms."""
        entries, pace = _Entries(), Pace()
        pages = Pages(self._executor, self._list_of(ids.user_hash(user_id)), least=PAGE_LIMIT)
        while replies := await pages.next():
            found = (session_id for bucket, reply in replies for session_id in entries.ids(bucket, reply[1]))
            while part := list(islice(found, _READS)):
                calls = [operations.read(keys.session_keys(self._sandbox, session_id)) for session_id in part]
                records = await self._executor.execute_all(calls, accepted=(s.CORRUPT,))
                for session_id, reply in zip(part, records, strict=True):
                    found_one = entries.session(session_id, self._sandbox, reply)
                    # The index holds hashes: the record says whose it really is.
                    if found_one is not None and found_one[1].user_id == user_id:
                        yield found_one
                    if pace.is_due():
                        await pace.give_way()

    def _list_of(self, user: int | None) -> Ask:
        def ask(bucket: int, limit: int, after: Cursor) -> Call:
            return operations.list_(keys.index(self._sandbox, bucket), user=user, limit=limit, after=after)

        return ask


class _Entries:
    """Turns what an index and its records hold into sessions, and warns once about what cannot be read."""

    def __init__(self) -> None:
        self._warned = False

    def ids(self, bucket: int, handles: Iterable[bytes]) -> Iterator[str]:
        """Yield the ids that the entries of an index stand for."""
        for handle in handles:
            try:
                session_id = ids.id_of(handle.decode("ascii", "replace"), bucket)
            except ValueError:
                session_id = ""
            if ids.is_name(session_id):
                yield session_id
            else:
                self._warn("an index entry")

    def session(self, session_id: str, sandbox_id: str, reply: Reply) -> tuple[int, SessionMetadata] | None:
        """Return a session with the time of its creation in ms; None for one that is gone or cannot be read."""
        try:
            if reply[0] == s.CORRUPT:
                raise errors.CorruptRecordError("a stored session cannot be opened")
            if reply[0] != s.OK:
                return None
            record = Record.from_reply(reply[1])
            return record.created, record.to_model(session_id, sandbox_id)
        except errors.CorruptRecordError:
            self._warn("a session record")
            return None

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("%s cannot be read and is left out of a list, as are any others like it", what)
