"""Revocation: deletion of all sessions of a user, except one on request.

The home bucket and the buckets that it has notes about are searched concurrently. Then the home bucket is searched once
more, because a session that was moved there meanwhile may have been in neither list. A bucket that does not answer does
not delay the others, and if the home bucket does not answer, all buckets are searched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from typing import Any

from .. import exceptions as errors
from ..core import ids
from ..core.keys import SessionKeys
from ..core.owners import Owner
from .bucket_revocation import BucketRevocation, Job
from .executor import MAX_ATTEMPTS, Executor
from .strays import StrayNotes

_PATIENCE_SECONDS = 0.5
"""Seconds that the home bucket gets to name the buckets with strays, before all buckets are searched."""


class Revoker:
    """Revokes sessions of one sandbox by user."""

    def __init__(self, executor: Executor, notes: StrayNotes) -> None:
        self._executor = executor
        self._notes = notes

    async def revoke(self, user_id: str, owner: Owner, keep: SessionKeys | None) -> int:
        """Delete the sessions of a user except `keep` until the indexes have no others. Returns how many were deleted.

        Raises:
            RevocationIncompleteError: some buckets did not answer; the sessions in all others were deleted.
            SessionConflictError: new sessions of the user keep coming.
            NotReplicatedError: all were deleted, but too few replicas have acknowledged it.

        """
        search = _Search(self._executor, self._notes, user_id, owner, keep)
        await search.run()
        _raise_failure(search.searched)
        return sum(in_bucket.revoked for in_bucket in search.searched)


class _Search:
    """The search for the sessions of a user.

    Attributes:
        searched: the buckets that were searched so far. The first one is the home bucket.

    """

    def __init__(
        self, executor: Executor, notes: StrayNotes, user_id: str, owner: Owner, keep: SessionKeys | None
    ) -> None:
        self._executor = executor
        self._notes = notes
        self._user_id = user_id
        self._job = Job(owner)
        self._keep = keep
        home = notes.home(user_id).bucket
        # A rotation under a cap may move the kept session to the home bucket.
        self._may_have_kept = () if keep is None else (home, keep.index_keys.bucket)
        self._home = self._in_bucket(home)
        self.searched = [self._home]

    async def run(self) -> None:
        """Delete sessions until no bucket is left to search. The home bucket is searched after all others."""
        await _complete(self._home.revoke(), self._search_strays())
        for _ in range(MAX_ATTEMPTS):
            if self._home.failure is not None:
                return
            before = len(self.searched)
            await _complete(self._home.revoke(), self._search_strays())
            if len(self.searched) == before:
                return
        self._home.failure = errors.SessionConflictError("new sessions of the user keep coming")

    async def _search_strays(self) -> None:
        """Delete the sessions in all buckets that may have strays and were not searched before."""
        known = {in_bucket.bucket for in_bucket in self.searched}
        found = [self._in_bucket(bucket) for bucket in await self._strays() if bucket not in known]
        self.searched += found
        await _complete(*[in_bucket.revoke() for in_bucket in found])

    async def _strays(self) -> Collection[int]:
        """Return the buckets that may have strays: all of them if the home bucket does not answer soon."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                replies = await self._executor.execute_all(self._notes.read_calls(self._user_id))
        except (errors.ProviderError, TimeoutError):
            return range(ids.BUCKETS)
        return self._notes.noted(self._user_id, replies)

    def _in_bucket(self, bucket: int) -> BucketRevocation:
        keep = self._keep if bucket in self._may_have_kept else None
        return BucketRevocation(self._executor, self._job, bucket, keep)


async def _complete(*work: Coroutine[Any, Any, None]) -> None:
    """Run coroutines concurrently. Raises the first error, once all have finished."""
    for failure in await asyncio.gather(*work, return_exceptions=True):
        if failure is not None:
            raise failure


def _raise_failure(in_buckets: Sequence[BucketRevocation]) -> None:
    """Raise one error for the failures in all buckets, if there are any."""
    revoked = sum(in_bucket.revoked for in_bucket in in_buckets)
    unanswered = [in_bucket for in_bucket in in_buckets if isinstance(in_bucket.failure, errors.ProviderError)]
    if len(unanswered) == len(in_buckets) and not revoked:
        assert unanswered[0].failure is not None
        raise unanswered[0].failure
    if unanswered:
        raise _incomplete(unanswered, revoked) from unanswered[0].failure
    for in_bucket in in_buckets:
        if in_bucket.failure is not None:
            raise errors.SessionConflictError(f"{in_bucket.failure}; {revoked} were revoked")
    for in_bucket in in_buckets:
        if in_bucket.unreplicated is not None:
            raise in_bucket.unreplicated


def _incomplete(unanswered: Sequence[BucketRevocation], revoked: int) -> errors.RevocationIncompleteError:
    buckets = tuple(sorted(in_bucket.bucket for in_bucket in unanswered))
    return errors.RevocationIncompleteError(
        f"{revoked} sessions were revoked, but {len(buckets)} of {ids.BUCKETS} buckets did not answer and may hold "
        f"more ({_ranges(buckets)}): {unanswered[0].failure}",
        revoked,
        buckets,
    )


def _ranges(buckets: Sequence[int]) -> str:
    """Return buckets in hex, as in ids, with runs shortened: `00-54, 7f`."""
    runs: list[list[int]] = []
    for bucket in buckets:
        if runs and bucket == runs[-1][-1] + 1:
            runs[-1][1:] = [bucket]
        else:
            runs.append([bucket])
    return ", ".join("-".join(f"{end:02x}" for end in run) for run in runs)
