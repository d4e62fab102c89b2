"""Operations on one session that may need several calls: allocate, validate, delete. All times are in ms."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from .. import exceptions as errors
from ..core import operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply
from ..core.record import fields_of
from . import results
from .allocation import Allocator, NewSession
from .cancellation import run_in_background
from .executor import MAX_ATTEMPTS, Executor
from .policy import SessionPolicy


class Sessions:
    """The sessions of one sandbox on one backend."""

    def __init__(self, executor: Executor, policy: SessionPolicy) -> None:
        self._executor = executor
        self._policy = policy
        self._allocator = Allocator(executor, policy)

    async def allocate(self, user_id: str | None, owner: bytes, pairs: Sequence[bytes], *, ttl_ms: int) -> str:
        """Create a session under a fresh id, and return the id.

        If the call is canceled, no caller learns the id. The session that it may have created is then deleted in the
        background.
        """
        new = NewSession(self._executor, user_id, owner, pairs, ttl_ms=ttl_ms, idle_ms=self._policy.idle_ms)
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
        self, target: SessionKeys, user_id: str | None, owner: bytes, pairs: Sequence[bytes], *, ttl_ms: int
    ) -> None:
        """Create the session with these keys, or touch it if it exists."""
        idle_ms = self._policy.idle_ms
        new = NewSession(self._executor, user_id, owner, pairs, ttl_ms=ttl_ms, idle_ms=idle_ms, target=target)
        for _ in range(MAX_ATTEMPTS):
            reply = await self._allocator.allocate(new)
            if reply[0] != s.MOVED or await self._touch_moved(target, reply, owner):
                return
            # The old id's pointer has outlived the session that it points to.
            await self._executor.execute(operations.delete(target, pointer=reply[1]))
        raise errors.SessionConflictError("the session keeps changing; try again")

    async def _touch_moved(self, target: SessionKeys, moved: Reply, owner: bytes) -> bool:
        """Touch the session that an old id points to. Returns False when it has ended."""
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
        return await self._executor.execute_following_rotation(current, touch, results.existed)

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

    async def delete(self, target: SessionKeys, *, reused: bool) -> bool:
        """Delete a session, under its old id too. Returns False when there was none.

        With `reused`, another session may have the same id later. It then takes one more call.
        """
        reply = await (self._delete_current(target) if reused else self._executor.execute(operations.delete(target)))
        if reply[0] != s.MOVED:
            return results.is_ok(reply)
        pointer = reply[1]
        current = self._executor.target_for_pointer(target.index_keys.bucket, pointer)
        deleted = await self._executor.execute_following_rotation(current, operations.delete(current), results.is_ok)
        await self._executor.execute(operations.delete(target, pointer=pointer))
        return deleted

    async def revoke(self, target: SessionKeys, owner: bytes) -> bool:
        """Delete a session that its reference identifies, if it belongs to this owner. Returns False if there is none.

        The owner is read first, because a deletion also removes records that cannot be read. Raises CorruptRecordError
        for such a record.
        """
        call = operations.read(target)
        target, reply = await self._executor.follow_rotation(target, call, await self._executor.submit(call))
        found = fields_of(reply[1]) if reply[0] == s.OK else {}
        if found.get(b"u") != owner:
            return False
        call = operations.delete(target, owner=owner, created=found.get(b"c", b""))
        with suppress(errors.SessionOwnerError):
            return await self._executor.execute_following_rotation(target, call, results.is_ok)
        return False

    async def _delete_current(self, target: SessionKeys) -> Reply:
        """Delete the session that has the id now. A call that is retried or arrives late may find a later session with
        the same id, which it must not delete.
        """
        current = await self._executor.submit(operations.read(target))
        if current[0] in (s.GONE, s.MOVED):
            return current
        created = fields_of(current[1]).get(b"c", b"") if current[0] == s.OK else b""
        return await self._executor.execute(operations.delete(target, created=created))
