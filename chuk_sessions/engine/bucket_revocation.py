"""The revocation of a user's sessions in one bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .. import exceptions as errors
from ..core import event_entries, index_operations, keys, operations
from ..core import statuses as s
from ..core.index_operations import Cursor
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply
from ..core.owners import Owner, identity_of
from ..core.record import fields_of, has_readable_owner
from .executor import MAX_ATTEMPTS, Executor
from .time_slice import TimeSlice

_CONCURRENT_BUCKETS = 16
"""Buckets in which sessions are deleted concurrently."""

_REFUSALS = (s.OTHER_OWNER, s.OTHER_ENCODING)

_CONCURRENT_DELETIONS = 32
"""Concurrent deletions in one bucket."""


class Job:
    """A user to revoke, and the limits that all buckets share, so that together they do not hold the event loop.

    Attributes:
        owner: the forms of the user.
        time_slice: the time slice that all buckets share.
        slots: for buckets that delete.

    """

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.time_slice = TimeSlice()
        self.slots = asyncio.Semaphore(_CONCURRENT_BUCKETS)


class BucketRevocation:
    """The revocation in one bucket.

    Attributes:
        bucket: its number.
        revoked: how many sessions were deleted.
        failure: why sessions may remain; None when none does.
        unreplicated: the latest deletion that too few replicas acknowledged.

    """

    def __init__(self, executor: Executor, job: Job, bucket: int, keep: SessionKeys | None) -> None:
        self._executor = executor
        self._job = job
        self._index = keys.index(executor.sandbox_id, bucket)
        self._keep = keep
        self._pointers: set[bytes] = set()
        self.bucket = bucket
        self.revoked = 0
        self.failure: errors.SessionError | None = None
        self.unreplicated: errors.NotReplicatedError | None = None

    async def revoke(self) -> None:
        """Delete the user's sessions until the index has no other than the kept one."""
        try:
            if self._keep is not None:
                await self._follow_kept()
            for _ in range(MAX_ATTEMPTS):
                if not await self._delete_listed():
                    return
            self.failure = errors.SessionConflictError("new sessions of the user keep coming")
        except errors.SessionError as failure:
            self.failure = failure

    async def _delete_listed(self) -> bool:
        """Read the index once and delete what it lists. Returns whether there was anything to delete."""
        found = False
        for score in self._job.owner.search_order():
            found |= await self._delete_listed_under(score)
        return found

    async def _delete_listed_under(self, score: int) -> bool:
        """Delete what the index lists under one score. Returns whether there was anything to delete."""
        found = False
        after: Cursor | None = index_operations.START
        while after is not None:
            call = index_operations.list_(self._index, user=score, limit=index_operations.PAGE_LIMIT, after=after)
            if self._job.time_slice.is_over():
                await self._job.time_slice.renew()
            reply = await self._executor.execute(call)
            # Nearly all buckets have none of the user's sessions.
            if reply[1]:
                async with self._job.slots:
                    found |= await self._delete(await self._targets_of(reply[1]), self._identity(score))
            after = index_operations.cursor(reply)
        return found

    def _identity(self, score: int) -> bytes:
        """Return the identity that records have if the index lists them under a score."""
        return next(form.identity for form in self._job.owner.forms() if form.score == score)

    async def _targets_of(self, handles: list[bytes]) -> list[SessionKeys]:
        """Return the keys of the listed sessions, without the kept one."""
        if self._keep is not None and handles != [self._keep.handle]:
            # After the list was read: it does not have an id that the kept session gets later.
            await self._follow_kept()
        targets = [keys.session_keys_for_entry(self._index, handle) for handle in handles]
        return [target for target in targets if target != self._keep]

    async def _follow_kept(self) -> None:
        """Follow the kept session to its current id. Without a live session, none is kept."""
        kept = self._keep
        assert kept is not None
        try:
            call = operations.read(kept)
            target, reply = await self._executor.follow_rotation(kept, call, await self._executor.submit(call))
            self._keep = target if reply[0] == s.OK else None
        except errors.CorruptRecordError:
            self._keep = None
        except errors.ProviderError:
            # A failure in the bucket that it was moved from concerns that bucket only.
            if kept.index_keys.bucket == self.bucket:
                raise

    async def _delete(self, targets: list[SessionKeys], identity: bytes) -> bool:
        """Delete sessions of the user. Returns whether there was anything to delete.

        A session that is encoded in another form meanwhile is not deleted here. The next reading of the index finds it.
        """
        replies = await self._run(
            [operations.delete(target, event_entries.REVOKED, owner=identity) for target in targets]
        )
        self.revoked += sum(reply[0] == s.OK for reply in replies)
        moved = [(target, reply[1]) for target, reply in zip(targets, replies, strict=True) if reply[0] == s.MOVED]
        foreign = [target for target, reply in zip(targets, replies, strict=True) if reply[0] == s.OTHER_OWNER]
        if moved:
            await self._clear_pointers(moved)
        return (bool(foreign) and await self._delete_unreadable(foreign)) or len(foreign) < len(targets)

    async def _clear_pointers(self, found: list[tuple[SessionKeys, bytes]]) -> None:
        """Delete pointers of old ids that the index lists a second time.

        A rotation removes the old id from the index, so these are damaged records.
        """
        again = [(target, pointer) for target, pointer in found if target.handle in self._pointers]
        self._pointers |= {target.handle for target, _ in found}
        await self._run([operations.delete(target, pointer=pointer) for target, pointer in again])

    async def _delete_unreadable(self, foreign: list[SessionKeys]) -> bool:
        """Delete sessions of an unreadable owner that the index lists for this user. Returns whether there were any."""
        reads = [operations.read(target) for target in foreign]
        replies = await self._executor.execute_all(reads, accepted=(s.CORRUPT,))
        records = [fields_of(reply[1]) if reply[0] == s.OK else {} for reply in replies]
        calls = [
            operations.delete(target, event_entries.REVOKED, owner=identity_of(fields) or b"")
            for target, fields in zip(foreign, records, strict=True)
            if not has_readable_owner(fields, self._executor.values)
        ]
        self.revoked += sum(reply[0] == s.OK for reply in await self._run(calls))
        return bool(calls)

    async def _run(self, calls: Sequence[Call]) -> list[Reply]:
        """Run all deletions, then raise the first error. After a NotReplicatedError the session is deleted, too."""
        replies: list[Reply] = []
        failure: errors.SessionError | None = None
        outcomes = await self._executor.settle_all(
            calls, accepted=_REFUSALS, concurrency=_CONCURRENT_DELETIONS, time_slice=self._job.time_slice
        )
        for outcome in outcomes:
            if isinstance(outcome, errors.NotReplicatedError):
                self.unreplicated = outcome
                replies.append(outcome.reply)
            elif isinstance(outcome, errors.SessionError):
                failure = failure or outcome
            else:
                replies.append(outcome)
        if failure is not None:
            self.revoked += sum(reply[0] == s.OK for reply in replies)
            raise failure
        return replies
