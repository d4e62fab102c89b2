"""Reading of a user's sessions: the handles from the indexes of their buckets, and then the records.

The home bucket answers alone, unless it has notes about strays. Buckets with strays are then read, and the home bucket
once more at the end, because a session moves only to its home bucket. A list may therefore name a session twice, under
both of its references, if it is moved meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Collection, Iterator
from itertools import islice

from .. import exceptions as errors
from ..core import ids, index_operations, keys, note_operations, operations
from ..core import statuses as s
from ..core.index_operations import PAGE_LIMIT, Cursor
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply
from ..core.record import Record, fields_of
from ..models import ListedSession
from .executor import MAX_ATTEMPTS, Executor
from .paging import PageCall, Pages
from .strays import StrayNotes
from .time_slice import TimeSlice

logger = logging.getLogger(__name__)

_CONCURRENT_READS = 64
"""Records that are read concurrently: they may be large."""

Found = tuple[int, ListedSession]
"""A session with its time of creation, ms."""


class UnreadableData:
    """A log of data that a list leaves out because it cannot be read: one warning for each list."""

    def __init__(self) -> None:
        self._warned = False

    def warn(self, what: str) -> None:
        """Log a warning, unless there was one."""
        if not self._warned:
            self._warned = True
            logger.warning("%s cannot be read and is left out of a list, as are any others like it", what)


class UserSessions:
    """One reading of the live sessions of a user.

    Attributes:
        strays: the buckets in which the user may have strays. Known after the home bucket was read.

    """

    def __init__(self, executor: Executor, notes: StrayNotes, user_id: str) -> None:
        self._executor = executor
        self._notes = notes
        self._user_id = user_id
        self._scores = tuple(executor.values.owner(user_id).search_order())
        self._home = notes.home(user_id).bucket
        self._seen: set[str] = set()
        self._times: dict[int, int] = {}
        self._incomplete: set[int] = set()
        self._unreadable = UnreadableData()
        self._time_slice = TimeSlice()
        self.strays: set[int] = set()

    async def read(self) -> AsyncGenerator[Found, None]:
        """Yield the sessions. Records that cannot be read are left out."""
        async for found in self._read((self._home,)):
            yield found
        for buckets in (self.strays, (self._home,)) if self.strays else ():
            async for found in self._read(buckets):
                yield found

    async def _read(self, buckets: Collection[int]) -> AsyncGenerator[Found, None]:
        """Yield the sessions in some buckets that were not yielded before.

        A session that is rotated between the reading of index and record is in the index under its new id. So a bucket
        with a listed session that is gone is read again.
        """
        for _ in range(MAX_ATTEMPTS):
            self._incomplete = set()
            async for handles in self._handles(buckets):
                targets = self._unseen(handles)
                while part := list(islice(targets, _CONCURRENT_READS)):
                    replies = await self._executor.execute_all(list(map(operations.fetch, part)), accepted=(s.CORRUPT,))
                    for target, reply in zip(part, replies, strict=True):
                        session = self._session(target, reply)
                        if session is not None:
                            yield session
                        if self._time_slice.is_over():
                            await self._time_slice.renew()
            buckets = self._incomplete
            if not buckets:
                return

    async def _handles(self, buckets: Collection[int]) -> AsyncGenerator[list[tuple[int, list[bytes]]], None]:
        """Yield pages of the handles that the indexes of some buckets have for the user, each with its bucket."""
        indexes = [keys.index(self._executor.sandbox_id, bucket) for bucket in buckets]
        finds = [index_operations.find(index, score) for score in self._scores for index in indexes]
        times = [note_operations.notes(index, self._scores[0]) for index in indexes]
        strays = self._notes.read_calls(self._user_id)[1:] if self._home in buckets else []
        replies = await self._executor.execute_all([*finds, *times, *strays])
        found, noted = replies[: len(finds)], replies[len(finds) :]
        self._times |= {bucket: reply[1] for bucket, reply in zip(buckets, noted, strict=False)}
        if self._home in buckets:
            of_home = [*buckets].index(self._home)
            self.strays |= self._notes.noted(self._user_id, [noted[of_home], *noted[len(times) :]])
        yield [(bucket, reply[1]) for bucket, reply in zip([*buckets] * len(self._scores), found, strict=True)]
        for place, score in enumerate(self._scores):
            of_score = zip(buckets, found[place * len(indexes) :], strict=False)
            full = [bucket for bucket, reply in of_score if len(reply[1]) >= PAGE_LIMIT]
            pages = Pages(self._executor, self._page_call(score), buckets=full, min_limit=PAGE_LIMIT)
            while full and (more := await pages.next()):
                yield [(bucket, reply[1]) for bucket, reply in more]

    def _page_call(self, score: int) -> PageCall:
        def call(bucket: int, limit: int, after: Cursor) -> Call:
            index = keys.index(self._executor.sandbox_id, bucket)
            return index_operations.list_(index, user=score, limit=limit, after=after)

        return call

    def _unseen(self, pages: list[tuple[int, list[bytes]]]) -> Iterator[SessionKeys]:
        """Yield the keys of the sessions whose records were not read before."""
        for bucket, handles in pages:
            for handle in handles:
                if not ids.is_handle(handle):
                    self._unreadable.warn("an index entry")
                    continue
                target = keys.session_keys_for_handle(self._executor.sandbox_id, bucket, handle)
                if target.record not in self._seen:
                    self._seen.add(target.record)
                    yield target

    def _session(self, target: SessionKeys, reply: Reply) -> Found | None:
        """Return the user's live session from the reply of a fetch, or None."""
        try:
            if reply[0] == s.CORRUPT:
                raise errors.CorruptRecordError("a stored session cannot be opened")
            fields = fields_of(reply[1])
            if b"a" not in fields and (not fields or b"r" in fields):
                self._incomplete.add(target.index_keys.bucket)
                return None
            record = Record.from_reply(reply[1], self._executor.values)
            # The index has only the hash of the user id. The record has the user id.
            if record.user_id != self._user_id or record.expiry <= self._times[target.index_keys.bucket]:
                return None
            return record.created, record.to_listed(target.reference)
        except errors.CorruptRecordError:
            self._unreadable.warn("a session record")
            return None
