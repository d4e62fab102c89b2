"""The creation of sessions: attempts under fresh ids, and room under a full cap.

All times are ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from . import exceptions as errors
from . import ids, operations
from . import statuses as s
from .backends.base import Call, Reply
from .enums import WhenFull
from .keys import Index, Place, place_of_entry
from .record import Record, fields_of, is_owner
from .runner import MOST_ROUNDS, Runner


@dataclass(frozen=True, slots=True)
class Policy:
    """What a manager has settled for all its sessions; times in ms.

    Attributes:
        idle_ms: idle timeout of the sessions it makes; 0 means none.
        interval_ms: touch interval of its validations; 0 means that every validation marks the access.
        retention_ms: how long records outlive their sessions.
        session_bytes: most bytes of metadata that a session may have.
        cap: sessions that a user may have; 0 means any number.
        when_full: what a full cap does.

    """

    idle_ms: int
    interval_ms: int
    retention_ms: int
    session_bytes: int
    cap: int
    when_full: WhenFull


class Attempt:
    """The latest attempt to make a session.

    A lost one may still be on its way. So the next has another id: should the lost one arrive when the session has been
    ended, what it makes has an id that nobody was given.

    Attributes:
        session_id: chosen here; empty where the caller has chosen a place, which a repeat keeps.
        place: of the session.
        call: which makes it.

    """

    __slots__ = ("_lost", "_runner", "_user_id", "call", "place", "session_id")

    call: Call

    def __init__(self, runner: Runner, user_id: str | None, place: Place | None) -> None:
        self._runner = runner
        self._user_id = user_id
        self._lost: tuple[Call, ...] = ()
        self.session_id = ""
        if place is None:
            self.session_id, place = runner.new_place(user_id)
        self.place = place

    def renew(self) -> Sequence[Call]:
        """The next attempt. What the lost ones may have made ends first, since it would count against a cap."""
        self._lost = (*self._lost, operations.delete(self.place))
        self.session_id, self.place = self._runner.new_place(self._user_id, self.place.at.bucket)
        self.call = operations.at(self.call, self.place)
        return (*self._lost, self.call)

    def undo(self) -> Sequence[Call]:
        """Delete whatever any of the attempts has made."""
        return (*self._lost, operations.delete(self.place))


class Allocation:
    """Creates sessions of one sandbox."""

    def __init__(self, runner: Runner, policy: Policy) -> None:
        self._runner = runner
        self._policy = policy

    async def undo(self, attempt: Attempt) -> None:
        """Delete what an attempt may have made, as far as the store can be reached."""
        with suppress(errors.SessionError):
            await self._runner.run_all(attempt.undo())

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
        victims: list[Place] = []
        for _ in range(MOST_ROUNDS):
            attempt.call = operations.allocate(
                attempt.place,
                self._runner.sandbox_id,
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
            reply = await self._runner.ask(attempt.call, attempt.renew if attempt.session_id else None)
            if operations.check(attempt.call.operation, reply) != s.FULL:
                if reply[0] == s.CREATED and len(reply) > 1:
                    await self._sweep(attempt.place, reply[1])
                return reply
            victims = await self._victims(attempt.place.at, reply[1], owner)
        raise errors.SessionLimitError("other sessions of the user keep taking the place made for this one")

    async def _sweep(self, place: Place, ended: Sequence[bytes]) -> None:
        """Remove ended sessions that an allocation has come across. Failing to is no failure of the allocation."""
        with suppress(errors.SessionError):
            await self._runner.run(operations.sweep(place.at, self._runner.sandbox_id, ended))

    async def _victims(self, index: Index, handles: list[bytes], owner: bytes) -> list[Place]:
        """Return what the store has to look at to make room: all that does not count, and the user's oldest sessions,
        damaged ones first. Raises SessionLimitError where none of them may leave.
        """
        places = [place_of_entry(index, handle) for handle in handles]
        replies = await self._runner.run_all([operations.read(place) for place in places], accepted=(s.CORRUPT,))
        ages = dict(zip(places, (_age(reply, owner) for reply in replies), strict=True))
        own = sorted((age, place) for place, age in ages.items() if age is not None)
        surplus = len(own) + 1 - self._policy.cap
        if surplus > 0 and self._policy.when_full is WhenFull.REFUSE:
            raise errors.SessionLimitError(f"the user has {len(own)} sessions; {self._policy.cap} are allowed")
        await self._delete_ownerless(places, replies)
        leaving = own[: max(0, min(surplus, operations.MOST_LEAVING))]
        return [place for place, age in ages.items() if age is None] + [place for _, place in leaving]

    async def _delete_ownerless(self, places: Sequence[Place], replies: Sequence[Reply]) -> None:
        """Delete sessions whose owner cannot be read: the index has them for this user, the store for another."""
        owners = [fields_of(reply[1]).get(b"u", b"") if reply[0] == s.OK else b"" for reply in replies]
        named = [(place, owner) for place, owner in zip(places, owners, strict=True) if not is_owner(owner)]
        await self._runner.run_all([operations.delete(place, owner=owner) for place, owner in named])


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
