"""Lists and counts of the sessions of a sandbox or a user, from the indexes of all buckets."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable, Iterator
from heapq import merge
from itertools import islice

from .. import exceptions as errors
from ..core import ids, index_operations, keys, operations
from ..core import statuses as s
from ..core.index_operations import PAGE_LIMIT, Cursor
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply
from ..core.record import Record
from ..models import ListedSession
from .executor import Executor
from .paging import PageCall, Pages
from .time_slice import TimeSlice

logger = logging.getLogger(__name__)

_CONCURRENT_READS = 64
"""Records that are read concurrently: they may be large."""

_SORTED_RUN = 5000
"""Sessions that are sorted without a pause."""

_SHORT_LIST = 256
"""A list with a smaller limit than this reads only some buckets at a time."""


class SessionIndex:
    """Lists and counts the sessions of one sandbox."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._sandbox = executor.sandbox_id

    async def references(self, limit: int) -> list[str]:
        """Return references of live sessions of the sandbox, at most `limit`."""
        found: list[str] = []
        # An entry whose score grows while the pages of its bucket are read may appear twice.
        seen: dict[int, set[str]] = {}
        entries, time_slice = _Entries(), TimeSlice()
        pages = Pages(self._executor, self._list_of(None), all_at_once=limit >= _SHORT_LIST)
        while len(found) < limit and (replies := await pages.next(limit - len(found))):
            for bucket, reply in replies:
                known = seen.pop(bucket, set())
                for reference in entries.references(bucket, reply[1]):
                    if reference not in known:
                        known.add(reference)
                        found.append(reference)
                    if time_slice.is_over():
                        await time_slice.renew()
                if index_operations.cursor(reply) is not None:
                    seen[bucket] = known
        del found[limit:]
        return found

    async def iter_references(self) -> AsyncGenerator[str, None]:
        """Yield the references of all live sessions of the sandbox."""
        entries, time_slice = _Entries(), TimeSlice()
        pages = Pages(self._executor, self._list_of(None), all_at_once=False)
        while replies := await pages.next():
            for bucket, reply in replies:
                for reference in entries.references(bucket, reply[1]):
                    yield reference
                    if time_slice.is_over():
                        await time_slice.renew()

    async def sessions_of(self, user_id: str) -> list[ListedSession]:
        """Return the live sessions of a user, oldest first. Records that cannot be read are left out."""
        found = [(created, session.reference, session) async for created, session in self._sessions_of(user_id)]
        time_slice, ordered = TimeSlice(), []
        # Runs are sorted and then merged, because one sort of very many would hold the event loop for too long.
        for _, _, session in merge(
            *[sorted(found[first : first + _SORTED_RUN]) for first in range(0, len(found), _SORTED_RUN)]
        ):
            ordered.append(session)
            if time_slice.is_over():
                await time_slice.renew()
        return ordered

    async def iter_sessions_of(self, user_id: str) -> AsyncGenerator[ListedSession, None]:
        """Yield the live sessions of a user. Records that cannot be read are left out."""
        async for _, session in self._sessions_of(user_id):
            yield session

    async def count(self, user_id: str | None) -> int:
        """Return how many live sessions the sandbox, or a user in it, has."""
        user = None if user_id is None else ids.user_hash(user_id)

        def page_call(bucket: int, limit: int, after: Cursor) -> Call:
            return index_operations.count(keys.index(self._sandbox, bucket), user=user, limit=limit, after=after)

        pages, total = Pages(self._executor, page_call, min_limit=PAGE_LIMIT), 0
        while replies := await pages.next():
            total += sum(reply[1] for _, reply in replies)
        return total

    async def _sessions_of(self, user_id: str) -> AsyncGenerator[tuple[int, ListedSession], None]:
        """Yield the live sessions of a user, each with its time of creation in ms."""
        entries, time_slice = _Entries(), TimeSlice()
        pages = Pages(self._executor, self._list_of(ids.user_hash(user_id)), min_limit=PAGE_LIMIT)
        while replies := await pages.next():
            found = (
                keys.session_keys_for_handle(self._sandbox, bucket, handle)
                for bucket, reply in replies
                for handle in entries.handles(reply[1])
            )
            while part := list(islice(found, _CONCURRENT_READS)):
                records = await self._executor.execute_all(list(map(operations.read, part)), accepted=(s.CORRUPT,))
                for target, reply in zip(part, records, strict=True):
                    session = entries.session(target, reply)
                    # The index has only the hash of the user id. The record has the user id.
                    if session is not None and session[1].user_id == user_id:
                        yield session
                    if time_slice.is_over():
                        await time_slice.renew()

    def _list_of(self, user: int | None) -> PageCall:
        def page_call(bucket: int, limit: int, after: Cursor) -> Call:
            return index_operations.list_(keys.index(self._sandbox, bucket), user=user, limit=limit, after=after)

        return page_call


class _Entries:
    """Reader of index entries and records as sessions. It warns once about data that cannot be read."""

    def __init__(self) -> None:
        self._warned = False

    def handles(self, found: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the entries of an index that are handles."""
        for entry in found:
            if ids.is_handle(entry):
                yield entry
            else:
                self._warn("an index entry")

    def references(self, bucket: int, found: Iterable[bytes]) -> Iterator[str]:
        """Yield the references of the sessions that an index in this bucket lists."""
        return (ids.reference(bucket, handle) for handle in self.handles(found))

    def session(self, target: SessionKeys, reply: Reply) -> tuple[int, ListedSession] | None:
        """Return a session with its time of creation in ms, or None when it has ended or cannot be read."""
        try:
            if reply[0] == s.CORRUPT:
                raise errors.CorruptRecordError("a stored session cannot be opened")
            if reply[0] != s.OK:
                return None
            record = Record.from_reply(reply[1])
            return record.created, record.to_listed(target.reference)
        except errors.CorruptRecordError:
            self._warn("a session record")
            return None

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("%s cannot be read and is left out of a list, as are any others like it", what)
