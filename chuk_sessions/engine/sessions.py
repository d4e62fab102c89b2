"""Operations on one session that may need several calls: allocate, validate, delete. All times are in ms."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from .. import exceptions as errors
from ..core import event_entries, modes, operation_ids, operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply
from ..core.owners import Owner
from ..core.record import fields_of
from . import results
from .allocation import Allocator, NewSession
from .cancellation import run_in_background
from .executor import MAX_ATTEMPTS, MAX_ROTATIONS, Executor
from .policy import SessionPolicy


class Sessions:
    """The sessions of one sandbox on one backend."""

    def __init__(self, executor: Executor, policy: SessionPolicy) -> None:
        self._executor = executor
        self._policy = policy
        self._allocator = Allocator(executor, policy)

    async def allocate(self, user_id: str | None, owner: Owner, pairs: Sequence[bytes], *, ttl_ms: int) -> str:
        """Create a session under a fresh id, and return the id.

        If the call is canceled, no caller learns the id. The session that it may have created is then deleted in the
        background.
        """
        idle_ms = self._policy.idle_ms
        new = NewSession(self._executor, user_id, owner, pairs, ttl_ms=ttl_ms, idle_ms=idle_ms)
        try:
            await self._allocator.allocate(new)
        except asyncio.CancelledError:
            run_in_background(self._allocator.undo(new))
            raise
        except errors.OutcomeUnknownError as error:
            if error.may_be_applied(s.CREATED):
                error.session_id = new.session_id
            raise
        return new.session_id

    async def allocate_at(
        self,
        target: SessionKeys,
        user_id: str | None,
        owner: Owner,
        pairs: Sequence[bytes],
        *,
        ttl_ms: int,
        mode: bytes,
    ) -> None:
        """Create the session with these keys; or touch, refuse, or replace the one that exists."""
        new = NewSession(
            self._executor,
            user_id,
            owner,
            pairs,
            ttl_ms=ttl_ms,
            idle_ms=self._policy.idle_ms,
            target=target,
            mode=mode,
            operation_id=b"" if mode == modes.TOUCH else operation_ids.operation_id(),
        )
        for _ in range(MAX_ATTEMPTS):
            reply = moved = await self._allocator.allocate(new)
            if moved[0] == s.MOVED:
                reply = await self._allocate_moved(new, moved)
            if mode == modes.CREATE and reply[0] == s.EXISTS:
                raise errors.SessionExistsError("there is a session with that id already")
            if reply[0] != s.GONE:
                return
            # The old id's pointer has outlived the session that it points to.
            await self._executor.execute(operations.delete(target, pointer=moved[1]))
        raise errors.SessionConflictError("the session keeps changing; try again")

    async def _allocate_moved(self, new: NewSession, moved: Reply) -> Reply:
        """Touch, refuse, or replace the session that an old id points to. The reply is GONE when it has ended."""
        for _ in range(MAX_ROTATIONS):
            current = self._executor.target_for_pointer(new.target.index_keys.bucket, moved[1])
            new = new.at_existing(current)
            moved = await self._allocator.allocate(new)
            if moved[0] != s.MOVED:
                return moved
        raise errors.SessionConflictError("the id was rotated too often within its grace period")

    async def access(self, target: SessionKeys, call: Call, reply: Reply) -> Reply:
        """Return the reply of the current session, after a reply other than OK to a call that records an access.

        The id may be an old one, and the index of an idle session may have to be declared.
        """
        target, reply = await self._executor.follow_rotation(target, call, reply)
        if reply[0] != s.NEEDS_INDEX:
            return reply
        policy = self._policy
        call = operations.validate(target, policy.interval_ms, policy.retention_ms, True, call.operation)
        _, reply = await self._executor.follow_rotation(target, call, await self._executor.submit(call))
        return reply

    async def delete(self, target: SessionKeys, letter: bytes = event_entries.DELETED, *, reused: bool) -> bool:
        """Delete a session, under its old id too. Returns False when there was none.

        `letter` stands for the reason, in the event of the end. With `reused`, another session may have the same id
        later. It then takes one more call.
        """
        reply = await (
            self._delete_current(target, letter)
            if reused
            else self._executor.execute(operations.delete(target, letter))
        )
        if reply[0] != s.MOVED:
            return results.is_ok(reply)
        pointer = reply[1]
        current = self._executor.target_for_pointer(target.index_keys.bucket, pointer)
        call = operations.delete(current, letter)
        deleted = await self._executor.execute_following_rotation(current, call, results.is_ok)
        await self._executor.execute(operations.delete(target, pointer=pointer))
        return deleted

    async def revoke(self, target: SessionKeys, owner: Owner) -> bool:
        """Delete a session that its reference identifies, if it belongs to this owner. Returns False if there is none.

        The owner is read first, because a deletion also removes records that cannot be read. Raises CorruptRecordError
        for such a record.
        """
        version, known = -1, b""
        for _ in range(MAX_ATTEMPTS):
            call = operations.read(target)
            target, reply = await self._executor.follow_rotation(target, call, await self._executor.submit(call))
            found = fields_of(reply[1]) if reply[0] == s.OK else {}
            before, version = version, _version(found)
            identity = owner.identity_in(found)
            if identity is None or version < before or (version == before and identity == known):
                return False
            known = identity
            call = operations.delete(target, event_entries.REVOKED, owner=identity, created=found.get(b"c", b""))
            with suppress(errors.SessionOwnerError, errors.KeyUnavailableError):
                if await self._executor.execute_following_rotation(target, call, results.is_ok):
                    return True
        raise errors.SessionConflictError("the session keeps changing; try again")

    async def _delete_current(self, target: SessionKeys, letter: bytes) -> Reply:
        """Delete the session that has the id now. A call that is retried or arrives late may find a later session with
        the same id, which it must not delete. A session with a higher version replaced the one that was to be deleted.
        """
        version = -1
        for _ in range(MAX_ATTEMPTS):
            current = await self._executor.submit(operations.read(target))
            if current[0] in (s.GONE, s.MOVED):
                return current
            fields = fields_of(current[1]) if current[0] == s.OK else {}
            before, version = version, _version(fields)
            if version <= before:
                return [s.GONE]
            reply = await self._executor.execute(operations.delete(target, letter, created=fields.get(b"c", b"")))
            if reply[0] != s.GONE:
                return reply
        raise errors.SessionConflictError("the session keeps changing; try again")


def _version(fields: Mapping[bytes, bytes]) -> int:
    """Return the version of a record; 0 if it cannot be read."""
    digits = fields.get(b"v", b"")
    return int(digits) if digits.isdigit() else 0
