"""Revocation: the sessions of a user are deleted in all buckets. One may be kept, and a bucket that does not answer
holds up no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .. import exceptions as errors
from ..core import ids, keys, operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply
from ..core.operations import Cursor
from ..core.record import fields_of, is_owner
from .executor import MOST_ROUNDS, Executor
from .pacing import Pace

_PARTS = 16
"""Buckets in which sessions are deleted side by side."""

_DELETIONS = 32
"""Deletions in one bucket side by side."""


class Revoker:
    """Revokes sessions of one sandbox by user."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def revoke(self, user_id: str, owner: bytes, keep: SessionKeys | None) -> int:
        """Delete the sessions of a user except `keep`, until none is left to find. Returns how many were deleted.

        Raises:
            RevocationIncompleteError: some buckets did not answer; the sessions in all others were deleted.
            SessionConflictError: new sessions of the user keep coming.
            NotReplicatedError: all were deleted, but too few replicas have acknowledged it.

        """
        home, user = ids.home_bucket(self._executor.sandbox_id, user_id), ids.user_hash(user_id)
        # The user's home bucket, which has nearly all of the sessions, is asked first.
        buckets = sorted(range(ids.BUCKETS), key=lambda bucket: bucket != home)
        turns = _Turns()
        # A rotation under a cap moves a session to the home bucket, the kept one or another.
        near = () if keep is None else (home, keep.index_keys.bucket)
        parts = [
            _Part(self._executor, turns, bucket, user, owner, keep if bucket in near else None) for bucket in buckets
        ]
        await asyncio.gather(*[part.revoke() for part in parts])
        if parts[0].failure is None:
            # What was moved meanwhile may have been in neither list.
            await parts[0].revoke()
        _raise_failure(parts)
        return sum(part.revoked for part in parts)


class _Turns:
    """What the parts of a revocation share, so that together they do not hold up the event loop."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.room = asyncio.Semaphore(_PARTS)


class _Part:
    """The revocation in one bucket.

    Attributes:
        bucket: its number.
        revoked: how many sessions were deleted.
        failure: why sessions may be left; None when none is.
        unreplicated: the latest deletion that too few replicas acknowledged.

    """

    def __init__(
        self, executor: Executor, turns: _Turns, bucket: int, user: int, owner: bytes, keep: SessionKeys | None
    ) -> None:
        self._executor = executor
        self._turns = turns
        self._index = keys.index(executor.sandbox_id, bucket)
        self._user = user
        self._owner = owner
        self._keep = keep
        self._pointers: set[bytes] = set()
        self.bucket = bucket
        self.revoked = 0
        self.failure: errors.SessionError | None = None
        self.unreplicated: errors.NotReplicatedError | None = None

    async def revoke(self) -> None:
        """Delete the user's sessions until the index has none but the kept one."""
        try:
            if self._keep is not None:
                await self._follow_kept()
            for _ in range(MOST_ROUNDS):
                if not await self._delete_listed():
                    return
            self.failure = errors.SessionConflictError("new sessions of the user keep coming")
        except errors.SessionError as failure:
            self.failure = failure

    async def _delete_listed(self) -> bool:
        """Go once through the index. Returns whether it had anything to delete."""
        found = False
        after: Cursor | None = operations.START
        while after is not None:
            call = operations.list_(self._index, user=self._user, limit=operations.PAGE_LIMIT, after=after)
            if self._turns.pace.is_due():
                await self._turns.pace.give_way()
            reply = await self._executor.execute(call)
            # Nearly all buckets have none of the user's sessions.
            if reply[1]:
                async with self._turns.room:
                    found |= await self._delete(await self._targets_of(reply[1]))
            after = operations.cursor(reply)
        return found

    async def _targets_of(self, handles: list[bytes]) -> list[SessionKeys]:
        """Return where the listed sessions are, without the kept one."""
        if self._keep is not None and handles != [self._keep.handle]:
            # Only now, after the list: an id that the kept session is given later is not in it.
            await self._follow_kept()
        targets = [keys.session_keys_for_entry(self._index, handle) for handle in handles]
        return [target for target in targets if target != self._keep]

    async def _follow_kept(self) -> None:
        """Follow the kept session to its present id. What is no live session keeps nothing."""
        kept = self._keep
        assert kept is not None
        try:
            target, reply = await self._executor.execute_following_rotation(kept, operations.read(kept))
            self._keep = target if reply[0] == s.OK else None
        except errors.CorruptRecordError:
            self._keep = None
        except errors.ProviderError:
            # The bucket that it was moved from holds up its own part only.
            if kept.index_keys.bucket == self.bucket:
                raise

    async def _delete(self, targets: list[SessionKeys]) -> bool:
        """Delete sessions of the user. Returns whether there was anything to delete."""
        replies = await self._run([operations.delete(target, owner=self._owner) for target in targets])
        self.revoked += sum(reply[0] == s.OK for reply in replies)
        moved = [(target, reply[1]) for target, reply in zip(targets, replies, strict=True) if reply[0] == s.MOVED]
        foreign = [target for target, reply in zip(targets, replies, strict=True) if reply[0] == s.OTHER_OWNER]
        if moved:
            await self._clear_pointers(moved)
        return (bool(foreign) and await self._delete_unreadable(foreign)) or len(foreign) < len(targets)

    async def _clear_pointers(self, found: list[tuple[SessionKeys, bytes]]) -> None:
        """Clear pointers of old ids that the index still has in another round. A rotation takes an old id out of the
        index, so that these are damaged records.
        """
        again = [(target, pointer) for target, pointer in found if target.handle in self._pointers]
        self._pointers |= {target.handle for target, _ in found}
        await self._run([operations.delete(target, pointer=pointer) for target, pointer in again])

    async def _delete_unreadable(self, foreign: list[SessionKeys]) -> bool:
        """Delete sessions whose owner cannot be read: the index has them for this user. Returns whether any was so."""
        reads = [operations.read(target) for target in foreign]
        replies = await self._executor.execute_all(reads, accepted=(s.CORRUPT,))
        owners = [(target, _owner_of(reply)) for target, reply in zip(foreign, replies, strict=True)]
        calls = [operations.delete(target, owner=owner) for target, owner in owners if not is_owner(owner)]
        self.revoked += sum(reply[0] == s.OK for reply in await self._run(calls))
        return bool(calls)

    async def _run(self, calls: Sequence[Call]) -> list[Reply]:
        """Run all deletions, then raise the error of the first that failed. What is only not replicated is deleted."""
        replies: list[Reply] = []
        failure: errors.SessionError | None = None
        outcomes = await self._executor.settle_all(
            calls, accepted=(s.OTHER_OWNER,), most=_DELETIONS, pace=self._turns.pace
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


def _owner_of(reply: Reply) -> bytes:
    """Return the owner field of a record that was read; empty when there is none."""
    return fields_of(reply[1]).get(b"u", b"") if reply[0] == s.OK else b""


def _raise_failure(parts: Sequence[_Part]) -> None:
    """Raise the error that stands for the failures of all parts, if there are any."""
    revoked = sum(part.revoked for part in parts)
    silent = [part for part in parts if isinstance(part.failure, errors.ProviderError)]
    if len(silent) == len(parts) and not revoked:
        assert silent[0].failure is not None
        raise silent[0].failure
    if silent:
        raise _incomplete(silent, revoked) from silent[0].failure
    for part in parts:
        if part.failure is not None:
            raise errors.SessionConflictError(f"{part.failure}; {revoked} have ended")
    for part in parts:
        if part.unreplicated is not None:
            raise part.unreplicated


def _incomplete(silent: Sequence[_Part], revoked: int) -> errors.RevocationIncompleteError:
    buckets = tuple(sorted(part.bucket for part in silent))
    return errors.RevocationIncompleteError(
        f"{revoked} sessions were revoked, but {len(buckets)} of {ids.BUCKETS} buckets did not answer and may hold "
        f"more ({_ranges(buckets)}): {silent[0].failure}",
        revoked,
        buckets,
    )


def _ranges(buckets: Sequence[int]) -> str:
    """Return buckets in hex, as ids have them, with runs shortened: `00-54, 7f`."""
    runs: list[list[int]] = []
    for bucket in buckets:
        if runs and bucket == runs[-1][-1] + 1:
            runs[-1][1:] = [bucket]
        else:
            runs.append([bucket])
    return ", ".join("-".join(f"{end:02x}" for end in run) for run in runs)
