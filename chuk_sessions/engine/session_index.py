"""Lists and counts of the sessions of a sandbox, from the indexes of all buckets, or of a user."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from heapq import merge

from ..core import ids, index_operations, keys, operations
from ..core.index_operations import PAGE_LIMIT, Cursor
from ..core.keys import SessionKeys
from ..core.operation import Call
from ..models import ListedSession
from . import results
from .executor import Executor
from .paging import Pages
from .reading import UnreadableData, UserSessions
from .strays import StrayNotes
from .time_slice import TimeSlice

_SORTED_RUN = 5000
"""Sessions that are sorted without a pause."""

_SHORT_LIST = 256
"""A list with a smaller limit than this reads only some buckets at a time."""


class SessionIndex:
    """Lists and counts the sessions of one sandbox."""

    def __init__(self, executor: Executor, notes: StrayNotes) -> None:
        self._executor = executor
        self._notes = notes
        self._sandbox = executor.sandbox_id
        self._record = results.record_reader(executor.values)

    async def references(self, limit: int) -> list[str]:
        """Return references of live sessions of the sandbox, at most `limit`."""
        found: list[str] = []
        # An entry whose score grows while the pages of its bucket are read may appear twice.
        seen: dict[int, set[str]] = {}
        entries, time_slice = _Entries(), TimeSlice()
        pages = Pages(self._executor, self._list_call, all_at_once=limit >= _SHORT_LIST)
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
        pages = Pages(self._executor, self._list_call, all_at_once=False)
        while replies := await pages.next():
            for bucket, reply in replies:
                for reference in entries.references(bucket, reply[1]):
                    yield reference
                    if time_slice.is_over():
                        await time_slice.renew()

    async def session_at(self, target: SessionKeys) -> ListedSession | None:
        """Return the session with these keys, or the one that replaced it; None if it is not alive."""
        call = operations.read(target)
        target, reply = await self._executor.follow_rotation(target, call, await self._executor.submit(call))
        record = self._record(reply)
        return None if record is None else record.to_listed(target.reference)

    async def sessions_of(self, user_id: str) -> list[ListedSession]:
        """Return the live sessions of a user, oldest first. Records that cannot be read are left out."""
        reading = UserSessions(self._executor, self._notes, user_id)
        found = [(created, session.reference, session) async for created, session in reading.read()]
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
        async for _, session in UserSessions(self._executor, self._notes, user_id).read():
            yield session

    async def count(self) -> int:
        """Return how many live sessions the sandbox has."""
        return await self._count(None, range(ids.BUCKETS))

    async def count_of(self, user_id: str) -> int:
        """Return how many live sessions a user has. Like the index, it knows only the hash of the user id."""
        scores, home = [form.score for form in self._executor.values.owner(user_id).forms()], self._notes.home(user_id)
        calls = [index_operations.count(home, user=score) for score in scores]
        replies = await self._executor.execute_all([*calls, *self._notes.read_calls(user_id)])
        at_home, strays = replies[: len(calls)], self._notes.noted(user_id, replies[len(calls) :])
        if not strays and all(index_operations.cursor(reply) is None for reply in at_home):
            return sum(int(reply[1]) for reply in at_home)
        # The home bucket comes last, because a session moves only to its home bucket.
        order = [(score, buckets) for buckets in (strays, (home.bucket,)) for score in scores]
        return sum([await self._count(score, buckets) for score, buckets in order])

    async def _count(self, user: int | None, buckets: Iterable[int]) -> int:
        def page_call(bucket: int, limit: int, after: Cursor) -> Call:
            return index_operations.count(keys.index(self._sandbox, bucket), user=user, limit=limit, after=after)

        pages, total = Pages(self._executor, page_call, buckets=buckets, min_limit=PAGE_LIMIT), 0
        while replies := await pages.next():
            total += sum(reply[1] for _, reply in replies)
        return total

    def _list_call(self, bucket: int, limit: int, after: Cursor) -> Call:
        return index_operations.list_(keys.index(self._sandbox, bucket), user=None, limit=limit, after=after)


class _Entries:
    """Reader of index entries as references. It warns once about entries that cannot be read."""

    def __init__(self) -> None:
        self._unreadable = UnreadableData()

    def references(self, bucket: int, found: Iterable[bytes]) -> Iterator[str]:
        """Yield the references of the sessions that an index in this bucket lists."""
        for entry in found:
            if ids.is_handle(entry):
                yield ids.reference(bucket, entry)
            else:
                self._unreadable.warn("an index entry")
