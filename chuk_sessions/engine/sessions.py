"""What one session goes through: old ids that point to new ones, a rotation, a login.

Each method builds calls with `operations`, has the backend run them, and turns replies into results. All times are ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from .. import exceptions as errors
from ..core import ids, keys, operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply
from ..core.record import Record, fields_of
from .allocation import Allocation, Attempt
from .cancellation import CriticalSection, run_in_background
from .executor import MOST_ROUNDS, Executor
from .policy import SessionPolicy


@dataclass(frozen=True, slots=True)
class _Copy:
    """A session as it is to be under its new id: its owner, the record that was read, the fields to keep, and the
    operation ids as they were read.
    """

    user_id: str | None
    owner: bytes
    record: Record
    pairs: Sequence[bytes]
    operation_ids: Sequence[bytes]


class Engine:
    """Sessions of one sandbox on one backend."""

    def __init__(self, executor: Executor, policy: SessionPolicy) -> None:
        self._executor = executor
        self._policy = policy
        self._allocation = Allocation(executor, policy)

    async def allocate(self, owner: bytes, user_id: str | None, ttl_ms: int, pairs: Sequence[bytes]) -> str:
        """Make a session under a fresh id. Returns that.

        Nobody learns the id when the call is canceled. The session that it may have made is then deleted in the
        background.
        """
        attempt = Attempt(self._executor, user_id, None)
        try:
            await self._allocation.make(attempt, owner, user_id, ttl_ms, 0, pairs)
        except asyncio.CancelledError:
            run_in_background(self._allocation.undo(attempt))
            raise
        return attempt.session_id

    async def allocate_at(
        self, target: SessionKeys, owner: bytes, user_id: str | None, ttl_ms: int, pairs: Sequence[bytes]
    ) -> None:
        """Make a session there, or touch the one that is."""
        for _ in range(MOST_ROUNDS):
            reply = await self._allocation.make(
                Attempt(self._executor, user_id, target), owner, user_id, ttl_ms, 0, pairs
            )
            if reply[0] != s.MOVED or await self._touch_moved(target, reply, owner):
                return
            # The old id's pointer has outlived the session that it points to.
            await self._executor.execute(operations.delete(target, pointer=reply[1]))
        raise errors.SessionConflictError("the session keeps changing; try again")

    def ask_alive(self, target: SessionKeys) -> Awaitable[Reply]:
        """Ask whether it is alive, which marks the access. Nearly every reply is OK, without a coroutine on the way
        between caller and backend; `is_alive` knows what the others mean.
        """
        return self._executor.submit(self._validation(target, self._policy.idle_ms > 0))

    async def is_alive(self, target: SessionKeys, reply: Reply) -> bool:
        """What another reply than OK comes to: an old id, an idle session in want of its index, none."""
        target, reply = await self._executor.execute_following_rotation(target, self._validation(target, False), reply)
        if reply[0] == s.NEEDS_INDEX:
            _, reply = await self._executor.execute_following_rotation(target, self._validation(target, True))
        return bool(reply[0] == s.OK)

    def _validation(self, target: SessionKeys, index: bool) -> Call:
        return operations.validate(target, self._policy.interval_ms, self._policy.retention_ms, index)

    async def read(self, target: SessionKeys) -> Record | None:
        """The record, or None."""
        call = operations.read(target)
        reply = await self._executor.submit(call)
        if reply[0] != s.OK:
            _, reply = await self._executor.execute_following_rotation(target, call, reply)
        return Record.from_reply(reply[1]) if reply[0] == s.OK else None

    async def merge(
        self,
        target: SessionKeys,
        pairs: Sequence[bytes],
        removals: Sequence[bytes],
        *,
        replace: bool,
        version: int | None,
        operation_id: bytes,
    ) -> bool:
        """Change metadata. False when there is no such session."""
        call = operations.merge(
            target,
            pairs=pairs,
            removals=removals,
            replace=replace,
            version=version,
            operation_id=operation_id,
            limit=self._policy.session_bytes,
        )
        reply = await self._executor.submit(call)
        if reply[0] != s.OK:
            _, reply = await self._executor.execute_following_rotation(target, call, reply)
        return bool(reply[0] == s.OK)

    async def increment(
        self, target: SessionKeys, field: bytes, amount: int, ceiling: int | None, operation_id: bytes
    ) -> tuple[bool, int] | None:
        """(applied, value), or None when there is no such session."""
        call = operations.increment(
            target,
            field=field,
            amount=amount,
            ceiling=ceiling,
            operation_id=operation_id,
            limit=self._policy.session_bytes,
        )
        _, reply = await self._executor.execute_following_rotation(target, call)
        return None if reply[0] == s.GONE else (reply[0] == s.OK, reply[1])

    async def extend(self, target: SessionKeys, additional_ms: int, operation_id: bytes) -> bool:
        """Move the deadline. False when there is no such session."""
        call = operations.extend(
            target, additional_ms=additional_ms, operation_id=operation_id, retention_ms=self._policy.retention_ms
        )
        reply = await self._executor.submit(call)
        if reply[0] != s.OK:
            _, reply = await self._executor.execute_following_rotation(target, call, reply)
        return bool(reply[0] == s.OK)

    async def delete(self, target: SessionKeys) -> bool:
        """End a session, under its old id too. False when there was none."""
        chosen = not ids.is_generated(target.handle)
        first = await (self._delete_seen(target) if chosen else self._executor.execute(operations.delete(target)))
        if first[0] != s.MOVED:
            return bool(first[0] == s.OK)
        current = self._executor.target_for_pointer(target.index_keys.bucket, first[1])
        _, reply = await self._executor.execute_following_rotation(current, operations.delete(current))
        await self._executor.execute(operations.delete(target, pointer=first[1]))
        return bool(reply[0] == s.OK)

    async def _delete_seen(self, target: SessionKeys) -> Reply:
        """Delete the session that is there now. A call that is repeated, or arrives late, may meet another session of
        the same id, which stays.
        """
        seen = await self._executor.submit(operations.read(target))
        if seen[0] in (s.GONE, s.MOVED):
            return seen
        created = fields_of(seen[1]).get(b"c", b"") if seen[0] == s.OK else b""
        return await self._executor.execute(operations.delete(target, created=created))

    async def rotate(self, target: SessionKeys, grace_ms: int) -> str | None:
        """The new id, or None when there is no such session. Raises SessionRotatedError for an old id."""
        return await self._change_id(target, None, b"", grace_ms)

    async def log_in(self, target: SessionKeys, user_id: str, owner: bytes) -> str | None:
        """The new id of the session, which becomes the user's; None when there is no such session."""
        return await self._change_id(target, user_id, owner, 0)

    async def _change_id(self, target: SessionKeys, user_id: str | None, owner: bytes, grace_ms: int) -> str | None:
        """Rotate a session in its bucket, or move it to its new owner, or to its owner's home bucket, where caps count.

        Cancellation: what only reads is interrupted at once. A rotation is completed. A move is undone before its point
        of no return and completed after it, see `_move`. Where the caller gets an id, the cancellation follows at its
        next await.
        """
        may_move = user_id is not None or self._policy.cap > 0
        for _ in range(MOST_ROUNDS):
            reply = await self._executor.execute(operations.read(target, operation_ids=may_move))
            _refuse_moved(reply)
            if reply[0] == s.GONE:
                return None
            record = Record.from_reply(reply[1])
            section = CriticalSection()
            if user_id is not None and user_id != record.user_id:
                copy = _Copy(user_id, owner, record, record.metadata_pairs, reply[2])
            elif self._escapes_cap(target, record.user_id):
                copy = _Copy(record.user_id, record.fields[b"u"], record, record.copied_pairs, reply[2])
            else:
                return await section.run(self._rotate(target, record.user_id, grace_ms))
            with suppress(errors.VersionConflictError):
                return await section.run(self._move(section, target, copy, grace_ms))
        raise errors.SessionConflictError("the session keeps changing; try again")

    def _escapes_cap(self, target: SessionKeys, user_id: str | None) -> bool:
        if user_id is None or not self._policy.cap:
            return False
        return target.index_keys.bucket != ids.home_bucket(self._executor.sandbox_id, user_id)

    async def _rotate(self, target: SessionKeys, user_id: str | None, grace_ms: int) -> str | None:
        new_id, new = self._executor.new_target(user_id, target.index_keys.bucket)
        reply = await self._executor.execute(operations.rotate(target, new, grace_ms=grace_ms))
        _refuse_moved(reply)
        return new_id if reply[0] == s.OK else None

    async def _move(self, section: CriticalSection, old: SessionKeys, copy: _Copy, grace_ms: int) -> str | None:
        """Create the copy with its operation ids, and delete the old session if it is unchanged: the point of no
        return. The copy's id is given out only then. Raises VersionConflictError when the old session has changed.
        """
        record = copy.record
        attempt, made = Attempt(self._executor, copy.user_id, None), False
        try:
            reply = await self._allocation.make(
                attempt, copy.owner, copy.user_id, 1, record.deadline, copy.pairs, record.idle
            )
            if reply[0] == s.GONE:
                return None
            made = True
            if copy.operation_ids and not section.canceled:
                await self._executor.execute(operations.carry(attempt.target, copy.operation_ids))
            if section.canceled:
                raise asyncio.CancelledError
            successor = keys.pointer_to(attempt.target, old.index_keys.bucket) if grace_ms else b""
            end = operations.delete(
                old, version=record.version, created=record.created, successor=successor, grace_ms=grace_ms
            )
            reply = await self._executor.execute(end)
        except (errors.SessionError, asyncio.CancelledError):
            if made or section.canceled:
                await self._allocation.undo(attempt)
            raise
        if reply[0] != s.OK:
            await self._allocation.undo(attempt)
        _refuse_moved(reply)
        return attempt.session_id if reply[0] == s.OK else None

    async def _touch_moved(self, target: SessionKeys, moved: Reply, owner: bytes) -> bool:
        """Touch what an old id points to. False when it is gone."""
        current = self._executor.target_for_pointer(target.index_keys.bucket, moved[1])
        touch = operations.allocate(
            current,
            self._executor.sandbox_id,
            ttl_ms=1,
            idle_ms=0,
            owner=owner,
            user=0,
            cap=0,
            retention_ms=self._policy.retention_ms,
            create=False,
        )
        _, reply = await self._executor.execute_following_rotation(current, touch)
        return bool(reply[0] == s.EXISTS)


def _refuse_moved(reply: Reply) -> None:
    if reply[0] == s.MOVED:
        raise errors.SessionRotatedError("this id has been replaced; its holder must not learn the new one")
