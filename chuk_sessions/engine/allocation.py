"""The creation of sessions: attempts under fresh ids, and room under a full cap.

All times are ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from .. import exceptions as errors
from ..core import ids, operations
from ..core import statuses as s
from ..core.keys import IndexKeys, SessionKeys, session_keys_for_entry
from ..core.operation import Call, Reply
from ..core.record import Record, fields_of, is_owner
from ..enums import WhenFull
from .executor import MOST_ROUNDS, Executor
from .policy import SessionPolicy


class Attempt:
    """The latest attempt to make a session.

    A lost one may still be on its way. So the next has another id: should the lost one arrive when the session has been
    ended, what it makes has an id that nobody was given.

    Attributes:
        session_id: chosen here; empty where the caller has chosen a place, which a repeat keeps.
        place: of the session.
        call: which makes it.

    """

    __slots__ = ("_executor", "_lost", "_user_id", "call", "session_id", "target")

    call: Call

    def __init__(self, executor: Executor, user_id: str | None, target: SessionKeys | None) -> None:
        self._executor = executor
        self._user_id = user_id
        self._lost: tuple[Call, ...] = ()
        self.session_id = ""
        if target is None:
            self.session_id, target = executor.new_target(user_id)
        self.target = target

    def next_attempt(self) -> Sequence[Call]:
        """The next attempt. What the lost ones may have made ends first, since it would count against a cap."""
        self._lost = (*self._lost, operations.delete(self.target))
        self.session_id, self.target = self._executor.new_target(self._user_id, self.target.index_keys.bucket)
        self.call = operations.retarget(self.call, self.target)
        return (*self._lost, self.call)

    def undo(self) -> Sequence[Call]:
        """Delete whatever any of the attempts has made."""
        return (*self._lost, operations.delete(self.target))


class Allocation:
    """Creates sessions of one sandbox."""

    def __init__(self, executor: Executor, policy: SessionPolicy) -> None:
        self._executor = executor
        self._policy = policy

    async def undo(self, attempt: Attempt) -> None:
        """Delete what an attempt may have made, as far as the store can be reached."""
        with suppress(errors.SessionError):
            await self._executor.execute_all(attempt.undo())

    async def make(
        self,
        attempt: Attempt,
        owner: bytes,
        user_id: str | None,
        ttl_ms: int,
        deadline_ms: int,
        pairs: Sequence[bytes],
        idle_ms: int | None = None,
    ) -> Reply:
        """Allocate, making room under a full cap where the policy says so. Where no place was given, the attempt takes
        another one after each lost reply.
        """
        policy = self._policy
        victims: list[SessionKeys] = []
        for _ in range(MOST_ROUNDS):
            attempt.call = operations.allocate(
                attempt.target,
                self._executor.sandbox_id,
                ttl_ms=ttl_ms,
                deadline_ms=deadline_ms,
                idle_ms=policy.idle_ms if idle_ms is None else idle_ms,
                owner=owner,
                user=0 if user_id is None else ids.user_hash(user_id),
                cap=0 if user_id is None else policy.cap,
                retention_ms=policy.retention_ms,
                create=True,
                victims=victims,
                pairs=pairs,
                reused=not attempt.session_id,
            )
            reply = await self._executor.submit(attempt.call, attempt.next_attempt if attempt.session_id else None)
            if operations.check(attempt.call.operation, reply) != s.FULL:
                if reply[0] == s.CREATED and len(reply) > 1:
                    await self._sweep(attempt.target, reply[1])
                return reply
            victims = await self._victims(attempt.target.index_keys, reply[1], owner)
        raise errors.SessionLimitError("other sessions of the user keep taking the place made for this one")

    async def _sweep(self, target: SessionKeys, ended: Sequence[bytes]) -> None:
        """Remove ended sessions that an allocation has come across. Failing to is no failure of the allocation."""
        with suppress(errors.SessionError):
            await self._executor.execute(operations.sweep(target.index_keys, self._executor.sandbox_id, ended))

    async def _victims(self, index: IndexKeys, handles: list[bytes], owner: bytes) -> list[SessionKeys]:
        """Return what the store has to look at to make room: all that does not count, and the user's oldest sessions,
        damaged ones first. Raises SessionLimitError where none of them may leave.
        """
        targets = [session_keys_for_entry(index, handle) for handle in handles]
        replies = await self._executor.execute_all(
            [operations.read(target) for target in targets], accepted=(s.CORRUPT,)
        )
        ages = dict(zip(targets, (_age(reply, owner) for reply in replies), strict=True))
        own = sorted((age, target) for target, age in ages.items() if age is not None)
        surplus = len(own) + 1 - self._policy.cap
        if surplus > 0 and self._policy.when_full is WhenFull.REFUSE:
            raise errors.SessionLimitError(f"the user has {len(own)} sessions; {self._policy.cap} are allowed")
        await self._delete_ownerless(targets, replies)
        leaving = own[: max(0, min(surplus, operations.MOST_LEAVING))]
        return [target for target, age in ages.items() if age is None] + [target for _, target in leaving]

    async def _delete_ownerless(self, targets: Sequence[SessionKeys], replies: Sequence[Reply]) -> None:
        """Delete sessions whose owner cannot be read: the index has them for this user, the store for another."""
        owners = [fields_of(reply[1]).get(b"u", b"") if reply[0] == s.OK else b"" for reply in replies]
        named = [(target, owner) for target, owner in zip(targets, owners, strict=True) if not is_owner(owner)]
        await self._executor.execute_all([operations.delete(target, owner=owner) for target, owner in named])


def _age(reply: Reply, owner: bytes) -> int | None:
    """Return when a session was created, ms: 0 for a damaged one, which leaves first. None for what does not count for
    the owner: an ended session, or that of another user with the same hash.
    """
    if reply[0] == s.GONE:
        return None
    if reply[0] != s.OK:
        return 0
    if fields_of(reply[1]).get(b"u", owner) != owner:
        return None
    try:
        return Record.from_reply(reply[1]).created
    except errors.CorruptRecordError:
        return 0
