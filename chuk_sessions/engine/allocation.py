"""The creation of sessions: attempts under fresh ids, and eviction of sessions at a cap.

All times are in ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from copy import copy
from typing import Final, Self

from .. import exceptions as errors
from ..core import event_entries, expired, modes, operations
from ..core import statuses as s
from ..core.durations import LATEST_MS
from ..core.keys import IndexKeys, SessionKeys, session_keys_for_entry
from ..core.operation import Call, Reply
from ..core.owners import HASH, Owner, identity_of
from ..core.record import fields_of, has_readable_owner
from ..enums import WhenFull
from .executor import MAX_ATTEMPTS, Executor
from .outcomes import unknown_after_lost_reply
from .policy import SessionPolicy
from .strays import StrayNotes

_NO_CONTEXT: Final = nullcontext()


class NewSession:
    """A session to create, or to write over another one, and the attempts at it.

    After a lost reply the call may still be on the network, and may arrive when the session has been deleted. So the
    next attempt has another id: a late session then has an id that no caller was given.

    Attributes:
        user_id: its user, or None.
        owner: the forms of the user; NOBODY without one.
        pairs: fields and values as stored: metadata and, for a moved session, other fields to keep.
        ttl_ms: time until its deadline, unless `deadline_ms` is given. LATEST_MS leads to the latest deadline.
        deadline_ms: absolute deadline; 0 means that `ttl_ms` counts.
        idle_ms: idle timeout; 0 means none.
        session_id: the id of the latest attempt; empty if the caller chose the id, which all attempts then have.
        target: keys of the session.
        mode: what happens if the session exists, see `modes`.
        operation_id: for a mode that must be applied once; empty for the others.
        create: whether to create the session if it does not exist.
        events: most events in the stream of its bucket; 0 if it emits none; None means that the policy decides.
        start: letter of its first event; empty if the event of another session tells of it.
        call: the latest attempt.

    """

    __slots__ = (
        "_executor", "_undo_lost", "call", "create", "deadline_ms", "events", "idle_ms", "mode", "operation_id",
        "owner", "pairs", "session_id", "start", "target", "ttl_ms", "user_id",
    )  # fmt: skip

    call: Call

    def __init__(
        self,
        executor: Executor,
        user_id: str | None,
        owner: Owner,
        pairs: Sequence[bytes],
        *,
        ttl_ms: int = 1,
        deadline_ms: int = 0,
        idle_ms: int,
        target: SessionKeys | None = None,
        mode: bytes = modes.TOUCH,
        operation_id: bytes = b"",
        events: int | None = None,
        start: bytes = event_entries.CREATED,
    ) -> None:
        self._executor = executor
        self._undo_lost: tuple[Call, ...] = ()
        self.user_id = user_id
        self.owner = owner
        self.pairs = pairs
        self.ttl_ms = ttl_ms
        self.deadline_ms = LATEST_MS if ttl_ms == LATEST_MS else deadline_ms
        self.idle_ms = idle_ms
        self.mode = mode
        self.operation_id = operation_id
        self.create = True
        self.events = events
        self.start = start
        self.session_id = ""
        if target is None:
            self.session_id, target = executor.new_target(user_id)
        self.target = target

    def retry(self) -> Sequence[Call]:
        """Return the calls of the next attempt. They delete the lost sessions first, which would count for a cap."""
        self._undo_lost = self.undo()
        self.session_id, self.target = self._executor.new_target(self.user_id, self.target.index_keys.bucket)
        self.call = operations.retarget(self.call, self.target)
        return (*self._undo_lost, self.call)

    def at_existing(self, target: SessionKeys) -> Self:
        """Return a copy for the session with these keys, which is not created if it does not exist."""
        other = copy(self)
        other.target, other.create = target, False
        return other

    def undo(self) -> tuple[Call, ...]:
        """Return the calls that delete the sessions of all attempts. Readers of events learn only of those that they
        have heard of.
        """
        letter = event_entries.ABORTED if self.start else b""
        return (*self._undo_lost, operations.delete(self.target, letter))


class Allocator:
    """Creates sessions of one sandbox."""

    def __init__(self, executor: Executor, policy: SessionPolicy) -> None:
        self._executor = executor
        self._notes = StrayNotes(executor)
        self._policy = policy

    async def undo(self, new: NewSession) -> None:
        """Delete the sessions that attempts may have created, as far as the store can be reached."""
        with suppress(errors.SessionError):
            await self._executor.execute_all(new.undo())

    async def allocate(self, new: NewSession) -> Reply:
        """Create the session. At a full cap, evict sessions or raise SessionLimitError, as the policy says.

        Unless the caller has chosen the id, the attempt after a lost reply has another id.
        """
        user_id, policy = new.user_id, self._policy
        if (new.create or new.mode == modes.REPLACE) and self._is_stray(new):
            # A session that exists has a note already. It is touched without another one.
            if new.mode == modes.TOUCH and (reply := await self.allocate(new.at_existing(new.target)))[0] != s.GONE:
                return reply
            await self._notes.note(user_id, new.target.index_keys.bucket)
        victims: list[SessionKeys] = []
        for _ in range(MAX_ATTEMPTS):
            new.call = operations.allocate(
                new.target,
                self._executor.sandbox_id,
                ttl_ms=new.ttl_ms,
                deadline_ms=new.deadline_ms,
                idle_ms=new.idle_ms,
                owner=new.owner.form.identity,
                user=new.owner.form.score,
                other_owner=b"" if new.owner.other is None else new.owner.other.identity,
                other_user=0 if new.owner.other is None else new.owner.other.score,
                cap=0 if user_id is None else policy.cap,
                retention_ms=policy.retention_ms,
                create=new.create,
                mode=new.mode,
                operation_id=new.operation_id,
                events=policy.events if new.events is None else new.events,
                start=new.start,
                victims=victims,
                pairs=new.pairs,
                reused=not new.session_id,
            )
            # A creation by another call is an error for this one.
            with unknown_after_lost_reply if new.mode == modes.CREATE else _NO_CONTEXT:
                reply = await self._executor.submit(new.call, new.retry if new.session_id else None)
            if s.check(new.call.operation, reply) != s.FULL:
                if reply[0] == s.CREATED and len(reply) > 1:
                    await self._sweep(new.target, expired.listed(reply))
                return reply
            handles = [handle for handle in reply[1] if handle != new.target.handle]
            victims = await self._victims(new.target.index_keys, handles, new.owner)
        raise errors.SessionLimitError("other new sessions of the user keep filling the cap")

    def _is_stray(self, new: NewSession) -> bool:
        """Return whether the session is a stray. A generated id is in the home bucket of its user."""
        return not new.session_id and self._notes.is_stray(new.user_id, new.target.index_keys.bucket)

    async def _sweep(self, target: SessionKeys, found: expired.Expired) -> None:
        """Remove expired sessions that an allocation has found. A failure does not fail the allocation."""
        with suppress(errors.SessionError):
            await self._executor.execute(expired.removal(target.index_keys, self._executor.sandbox_id, found))

    async def _victims(self, index: IndexKeys, handles: list[bytes], owner: Owner) -> list[SessionKeys]:
        """Return the sessions that the store must check to make room under the cap.

        These are all that do not count for the cap, and the user's oldest sessions, damaged ones first. Raises
        SessionLimitError where the policy does not evict.
        """
        targets = [session_keys_for_entry(index, handle) for handle in handles]
        reads = [operations.read(target) for target in targets]
        replies = await self._executor.execute_all(reads, accepted=(s.CORRUPT,))
        created = dict(zip(targets, (_created(reply, owner) for reply in replies), strict=True))
        own = sorted((ms, target) for target, ms in created.items() if ms is not None)
        surplus = len(own) + 1 - self._policy.cap
        if surplus > 0 and self._policy.when_full is WhenFull.REFUSE:
            raise errors.SessionLimitError(f"the user has {len(own)} sessions; {self._policy.cap} are allowed")
        await self._delete_ownerless(targets, replies, owner)
        evicted = own[: max(0, min(surplus, operations.MOST_LEAVING))]
        return [target for target, ms in created.items() if ms is None] + [target for _, target in evicted]

    async def _delete_ownerless(self, targets: Sequence[SessionKeys], replies: Sequence[Reply], owner: Owner) -> None:
        """Delete sessions with an unreadable owner: the index lists them for this user, their records name another.

        A keyed hash of this user names the owner, even if the owner itself cannot be decrypted: a wrong key of this
        process must not delete sessions.
        """
        records = [fields_of(reply[1]) if reply[0] == s.OK else {} for reply in replies]
        calls = [
            operations.delete(target, event_entries.EVICTED, owner=identity_of(fields) or b"")
            for target, fields in zip(targets, records, strict=True)
            if not _is_hashed(fields, owner) and not has_readable_owner(fields, self._executor.values)
        ]
        await self._executor.execute_all(calls)


def _is_hashed(fields: Mapping[bytes, bytes], owner: Owner) -> bool:
    return HASH in fields and any(form.matches(fields) for form in owner.forms())


def _created(reply: Reply, owner: Owner) -> int | None:
    """Return when a session of this owner was created, in ms; 0 for a damaged one, so that it is evicted first.

    A session under a key that is not available here is not damaged: neither its owner nor its values are decoded.
    Returns None for a session that does not count for the owner: one that has ended, or a session of another user with
    the same hash.
    """
    if reply[0] == s.GONE:
        return None
    if reply[0] != s.OK:
        return 0
    fields = fields_of(reply[1])
    if identity_of(fields) is not None and not any(form.matches(fields) for form in owner.forms()):
        return None
    try:
        created, *_ = [int(fields[name]) for name in (b"c", b"d", b"a", b"v")]
        int(fields.get(b"i", b"0"))
    except (KeyError, ValueError):
        return 0
    return created
