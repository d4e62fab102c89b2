"""Rotation: a session gets a new id and, at login, a user and a new lifetime. All times are in ms."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from .. import exceptions as errors
from ..core import event_entries, ids, keys, operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply
from ..core.owners import NOBODY, Owner
from ..core.record import KEPT_AT_LOGIN, Copy, Record
from .allocation import Allocator, NewSession
from .cancellation import CriticalSection, run_in_background
from .executor import MAX_ATTEMPTS, Executor
from .outcomes import unknown_after_lost_reply
from .policy import SessionPolicy


@dataclass(frozen=True, slots=True)
class _Login:
    """A login: the user's id, its forms, and the time until the new deadline."""

    user_id: str
    owner: Owner
    ttl_ms: int

    def copy_of(self, record: Record) -> Copy:
        """Return which kind of copy the user gets of a session."""
        return Copy.LOGIN if record.user_id in (None, self.user_id) else Copy.LOGIN_OF_ANOTHER_USER


@dataclass(frozen=True, slots=True)
class _Move:
    """The move of a session to another bucket or user: a copy is created, and then the old session is deleted.

    Attributes:
        old: keys of the old session.
        record: the record of the old session, as it was read.
        operation_ids: the operation ids that the old session remembers, as they were read. None if another user logs
            in, whose own idempotency keys they might equal.
        new: the copy.
        grace_ms: how long the old id points to the copy, in ms.
        grants: the state of the grants, as it was read. Empty at login, which ends them.
        letter: of the last event of the old id.

    """

    old: SessionKeys
    record: Record
    operation_ids: Sequence[bytes]
    new: NewSession
    grace_ms: int
    grants: bytes
    letter: bytes


class Rotator:
    """Gives sessions of one sandbox new ids."""

    def __init__(self, executor: Executor, policy: SessionPolicy) -> None:
        self._executor = executor
        self._policy = policy
        self._allocator = Allocator(executor, policy)

    async def rotate(self, target: SessionKeys, grace_ms: int) -> str | None:
        """Return the new id, or None when there is no such session. Raises SessionRotatedError for an old id."""
        return await self._change_id(target, None, grace_ms)

    async def log_in(self, target: SessionKeys, user_id: str, owner: Owner, ttl_ms: int) -> str | None:
        """Return the new id of the session, which then belongs to the user; None when there is no such session."""
        return await self._change_id(target, _Login(user_id, owner, ttl_ms), 0)

    async def _change_id(self, target: SessionKeys, login: _Login | None, grace_ms: int) -> str | None:
        """Rotate a session in its bucket, or move it to its new owner or to its owner's home bucket, where caps count.

        A cancellation interrupts reads at once. A rotation is completed. A move is undone before its point of no return
        and completed after it, see `_move`. If the caller gets an id, the cancellation follows at its next await.
        """
        may_move = login is not None or self._policy.cap > 0
        seen: Record | None = None
        for _ in range(MAX_ATTEMPTS):
            reply = await self._executor.execute(operations.read(target, operation_ids=may_move))
            _refuse_moved(reply)
            if reply[0] == s.GONE:
                return None
            record, section = Record.from_reply(reply[1], self._executor.values), CriticalSection()
            new_id: str | None = None
            if seen is not None and seen.user_id != record.user_id:
                # The session has been replaced by one of another user.
                return None
            seen, new = record, self._copy(target, record, login)
            inherits = login is None or login.copy_of(record) is Copy.LOGIN
            # If the session has changed or was replaced since it was read, the next round reads it again.
            with suppress(errors.VersionConflictError):
                if new is None:
                    new_id = await section.run(self._rotate_in_bucket(target, record, login, grace_ms))
                else:
                    operation_ids, grants = reply[3] if inherits else (), _grants_of(record, login)
                    move = _Move(target, record, operation_ids, new, grace_ms, grants, _last_letter(login))
                    new_id = await section.run(self._move(section, move))
            if new_id is not None:
                return new_id
        raise errors.SessionConflictError("the session keeps changing; try again")

    def _copy(self, target: SessionKeys, record: Record, login: _Login | None) -> NewSession | None:
        """Return the copy to create, or None if the session can stay in its bucket."""
        stays = login is None or login.user_id == record.user_id
        if stays and (record.user_id is None or not self._escapes_cap(target, record.user_id)):
            return None
        if login is None:
            owner = NOBODY if record.user_id is None else self._executor.values.owner(record.user_id)
            return NewSession(
                self._executor,
                record.user_id,
                owner,
                record.copied_pairs(Copy.MOVE, record.user_id),
                deadline_ms=record.deadline,
                idle_ms=record.idle,
                events=_most_events(record),
                start=b"",
            )
        pairs = record.copied_pairs(login.copy_of(record), login.user_id)
        return NewSession(
            self._executor,
            login.user_id,
            login.owner,
            pairs,
            ttl_ms=login.ttl_ms,
            idle_ms=self._policy.idle_ms,
            start=event_entries.LOGGED_IN,
        )

    def _escapes_cap(self, target: SessionKeys, user_id: str) -> bool:
        """Return whether the session is outside of its user's home bucket, where it does not count for the cap."""
        if not self._policy.cap:
            return False
        return target.index_keys.bucket != ids.home_bucket(self._executor.sandbox_id, user_id)

    async def _rotate_in_bucket(
        self, target: SessionKeys, record: Record, login: _Login | None, grace_ms: int
    ) -> str | None:
        new_id, new = self._executor.new_target(record.user_id, target.index_keys.bucket)
        lifetime = None if login is None else self._lifetime(login)
        # A later session with the same id may belong to another user.
        call = operations.rotate(target, new, grace_ms=grace_ms, created=record.fields[b"c"], lifetime=lifetime)
        try:
            with unknown_after_lost_reply:
                reply = await self._executor.execute(call)
        except errors.OutcomeUnknownError as error:
            if error.may_be_applied(s.OK):
                error.session_id = new_id
            raise
        _refuse_moved(reply)
        return new_id if reply[0] == s.OK else None

    def _lifetime(self, login: _Login) -> operations.Lifetime:
        policy = self._policy
        return operations.Lifetime(login.ttl_ms, policy.idle_ms, policy.retention_ms, policy.events, KEPT_AT_LOGIN)

    async def _move(self, section: CriticalSection, move: _Move) -> str | None:
        """Create the copy with its operation ids, and delete the old session if it is unchanged.

        The deletion is the point of no return: only then is the id of the copy returned. Raises VersionConflictError
        when the old session has changed. An OutcomeUnknownError has the copy's id if the old session was deleted;
        otherwise the copy is deleted.
        """
        copy, created = move.new, False
        try:
            reply = await self._allocator.allocate(copy)
            if reply[0] == s.GONE:
                return None
            created = True
            if move.operation_ids and not section.canceled:
                await self._executor.execute(operations.carry(copy.target, move.operation_ids))
            if section.canceled:
                raise asyncio.CancelledError
            reply = await self._delete_old(move)
        except errors.OutcomeUnknownError as error:
            if isinstance(error, errors.NotReplicatedError) and error.session_id is None:
                # The deletion would wait for the replicas, too.
                run_in_background(self._allocator.undo(copy))
            elif error.session_id is None:
                await self._allocator.undo(copy)
            raise
        except (errors.SessionError, asyncio.CancelledError) as error:
            if created or section.canceled or getattr(error, "reply_lost", False):
                await self._allocator.undo(copy)
            raise
        if reply[0] != s.OK:
            await self._allocator.undo(copy)
        _refuse_moved(reply)
        return copy.session_id if reply[0] == s.OK else None

    async def _delete_old(self, move: _Move) -> Reply:
        """Delete the old session if it is as it was read. Its id points to the copy for the grace period, and
        for operations on grants until they expire.

        If the outcome is unknown, a repeat shows it: an attempt that was applied leaves nothing or the pointer.
        """
        successor = keys.pointer_to(move.new.target, move.old.index_keys.bucket)
        call = operations.delete(
            move.old,
            move.letter,
            version=move.record.version,
            created=move.record.created,
            successor=successor,
            grace_ms=move.grace_ms,
            grants=move.grants,
        )
        try:
            return await self._executor.execute(call)
        except errors.OutcomeUnknownError as error:
            if isinstance(error, errors.NotReplicatedError):
                deleted = error.may_be_applied(s.OK)
            else:
                reply = await self._repeat(call)
                if reply == [s.OK]:
                    return reply
                # Nothing, where a pointer should be, means that somebody else has deleted the session. If it cannot be
                # known, the copy stays, because it may be all that is left of the session.
                deleted = reply is None or reply == ([s.MOVED, successor] if move.grace_ms else [s.GONE])
            if deleted:
                error.session_id = move.new.session_id
            raise

    async def _repeat(self, call: Call) -> Reply | None:
        """Return the reply to another attempt, or None if it fails, too."""
        try:
            return await self._executor.submit(call)
        except errors.NotReplicatedError as error:
            return [s.GONE] if error.may_be_applied(s.OK) else error.reply
        except errors.SessionError:
            return None


def _most_events(record: Record) -> int:
    """Return the most events in the stream of a session that emits events; 0 if it emits none."""
    digits = record.fields.get(b"e", b"0")
    return int(digits) if digits.isdigit() else event_entries.DEFAULT_CAP


def _grants_of(record: Record, login: _Login | None) -> bytes:
    """Return a value that changes with the grants of the session; empty at login, which ends them."""
    return record.fields.get(b"p", b"0") if login is None else b""


def _last_letter(login: _Login | None) -> bytes:
    return event_entries.ROTATED if login is None else event_entries.REPLACED


def _refuse_moved(reply: Reply) -> None:
    if reply[0] == s.MOVED:
        raise errors.SessionRotatedError("this id has been replaced; its holder must not learn the new one")
