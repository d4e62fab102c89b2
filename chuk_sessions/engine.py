"""What one session goes through: old ids that point to new ones, a full cap, a login.

Each method builds calls with `operations`, has the backend run them, and turns replies into results. All times are ms.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from . import exceptions as errors
from . import ids, operations
from . import statuses as s
from .backends.base import Call, Reply
from .enums import WhenFull
from .keys import Place
from .record import Record
from .runner import MOST_ROUNDS, Runner


@dataclass(frozen=True, slots=True)
class Policy:
    """What a manager has settled for all its sessions; times in ms.

    Attributes:
        idle_ms: idle timeout of the sessions it makes; 0 means none.
        interval_ms: touch interval of its validations; 0 means that every validation marks the access.
        retention_ms: how long records outlive their sessions.
        cap: sessions that a user may have; 0 means any number.
        when_full: what a full cap does.

    """

    idle_ms: int
    interval_ms: int
    retention_ms: int
    cap: int
    when_full: WhenFull


class _Attempt:
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


class Engine:
    """Sessions of one sandbox on one backend."""

    def __init__(self, runner: Runner, policy: Policy) -> None:
        self._runner = runner
        self._policy = policy

    async def allocate(self, owner: bytes, user_id: str | None, ttl_ms: int, pairs: Sequence[bytes]) -> str:
        """Make a session under a fresh id. Returns that."""
        attempt, _ = await self._make(None, owner, user_id, ttl_ms, 0, pairs)
        return attempt.session_id

    async def allocate_at(
        self, place: Place, owner: bytes, user_id: str | None, ttl_ms: int, pairs: Sequence[bytes]
    ) -> None:
        """Make a session there, or touch the one that is."""
        for _ in range(MOST_ROUNDS):
            _, reply = await self._make(place, owner, user_id, ttl_ms, 0, pairs)
            if reply[0] != s.MOVED or await self._touch_moved(place, reply, owner):
                return
            # The old id's pointer has outlived the session that it points to.
            await self._runner.run(operations.delete(place, pointer=reply[1]))
        raise errors.SessionConflictError("the session keeps changing; try again")

    def ask_alive(self, place: Place) -> Awaitable[Reply]:
        """Ask whether it is alive, which marks the access. Nearly every reply is OK, without a coroutine on the way
        between caller and backend; `is_alive` knows what the others mean.
        """
        return self._runner.ask(self._validation(place, self._policy.idle_ms > 0))

    async def is_alive(self, place: Place, reply: Reply) -> bool:
        """What another reply than OK comes to: an old id, an idle session in want of its index, none."""
        place, reply = await self._runner.follow(place, self._validation(place, False), reply)
        if reply[0] == s.NEEDS_INDEX:
            _, reply = await self._runner.follow(place, self._validation(place, True))
        return bool(reply[0] == s.OK)

    def _validation(self, place: Place, index: bool) -> Call:
        return operations.validate(place, self._policy.interval_ms, self._policy.retention_ms, index)

    async def read(self, place: Place) -> Record | None:
        """The record, or None."""
        call = operations.read(place)
        reply = await self._runner.ask(call)
        if reply[0] != s.OK:
            _, reply = await self._runner.follow(place, call, reply)
        return Record.from_reply(reply[1]) if reply[0] == s.OK else None

    async def merge(
        self,
        place: Place,
        pairs: Sequence[bytes],
        removals: Sequence[bytes],
        *,
        replace: bool,
        version: int | None,
        operation_id: bytes,
    ) -> bool:
        """Change metadata. False when there is no such session."""
        call = operations.merge(
            place, pairs=pairs, removals=removals, replace=replace, version=version, operation_id=operation_id
        )
        reply = await self._runner.ask(call)
        if reply[0] != s.OK:
            _, reply = await self._runner.follow(place, call, reply)
        return bool(reply[0] == s.OK)

    async def increment(
        self, place: Place, field: bytes, amount: int, ceiling: int | None, operation_id: bytes
    ) -> tuple[bool, int] | None:
        """(applied, value), or None when there is no such session."""
        call = operations.increment(place, field=field, amount=amount, ceiling=ceiling, operation_id=operation_id)
        _, reply = await self._runner.follow(place, call)
        return None if reply[0] == s.GONE else (reply[0] == s.OK, reply[1])

    async def extend(self, place: Place, additional_ms: int, operation_id: bytes) -> bool:
        """Move the deadline. False when there is no such session."""
        call = operations.extend(
            place, additional_ms=additional_ms, operation_id=operation_id, retention_ms=self._policy.retention_ms
        )
        reply = await self._runner.ask(call)
        if reply[0] != s.OK:
            _, reply = await self._runner.follow(place, call, reply)
        return bool(reply[0] == s.OK)

    async def delete(self, place: Place) -> bool:
        """End a session, under its old id too. False when there was none."""
        first = await self._runner.run(operations.delete(place))
        if first[0] != s.MOVED:
            return bool(first[0] == s.OK)
        target = self._runner.place_of_handle(place.at.bucket, first[1])
        _, reply = await self._runner.follow(target, operations.delete(target))
        await self._runner.run(operations.delete(place, pointer=first[1]))
        return bool(reply[0] == s.OK)

    async def rotate(self, place: Place, grace_ms: int) -> str | None:
        """The new id, or None when there is no such session. Raises SessionRotatedError for an old id."""
        record = await self.read(place)
        if record is None:
            return None
        new_id, new = self._runner.new_place(record.user_id, place.at.bucket)
        reply = await self._runner.run(operations.rotate(place, new, grace_ms=grace_ms))
        _refuse_moved(reply)
        return new_id if reply[0] == s.OK else None

    async def log_in(self, place: Place, user_id: str, owner: bytes) -> str | None:
        """Copy a session to its new owner under a new id and end the old one; None when there is no such session.

        The new id is handed out only when the old session, unchanged since it was copied, has been deleted.
        """
        for _ in range(MOST_ROUNDS):
            reply = await self._runner.run(operations.read(place))
            _refuse_moved(reply)
            if reply[0] == s.GONE:
                return None
            record = Record.from_reply(reply[1])
            if record.user_id == user_id:
                return await self.rotate(place, 0)
            made, reply = await self._make(None, owner, user_id, 1, record.deadline, record.kept, record.idle)
            if reply[0] == s.GONE:
                return None
            if await self._end_at(place, made.place, record.version):
                return made.session_id
        raise errors.SessionConflictError("the session keeps changing; try again")

    async def _end_at(self, old: Place, new: Place, version: int) -> bool:
        """Delete the old session at that version; undo the new one when that fails, or when nobody can know."""
        try:
            reply = await self._runner.run(operations.delete(old, version=version))
        except errors.VersionConflictError:
            reply = [s.CONFLICT]
        except errors.SessionError:
            with suppress(errors.SessionError):
                await self._runner.run(operations.delete(new))
            raise
        if reply[0] != s.OK:
            await self._runner.run(operations.delete(new))
        _refuse_moved(reply)
        return bool(reply[0] == s.OK)

    async def _make(
        self,
        place: Place | None,
        owner: bytes,
        user_id: str | None,
        ttl_ms: int,
        deadline_ms: int,
        pairs: Sequence[bytes],
        idle_ms: int | None = None,
    ) -> tuple[_Attempt, Reply]:
        """Allocate, making room under a full cap where the policy says so. Returns the attempt that was answered, too.

        Where no place is given it is chosen here, and anew after each lost reply.
        """
        policy = self._policy
        attempt = _Attempt(self._runner, user_id, place)
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
            )
            reply = await self._runner.ask(attempt.call, attempt.renew if place is None else None)
            if operations.check(attempt.call.operation, reply) != s.FULL:
                return attempt, reply
            if policy.when_full is WhenFull.REFUSE:
                raise errors.SessionLimitError(f"the user has {len(reply[1])} sessions; {policy.cap} are allowed")
            victims = await self._oldest(attempt.place.at.bucket, reply[1], 1 + len(reply[1]) - policy.cap)
        raise errors.SessionLimitError("other sessions of the user keep taking the place made for this one")

    async def _oldest(self, bucket: int, handles: list[bytes], number: int) -> list[Place]:
        places = [self._runner.place_of_entry(bucket, handle) for handle in handles]
        replies = await self._runner.run_all([operations.read(place) for place in places], accepted=(s.CORRUPT,))
        return [place for _, place in sorted(zip(map(_age, replies), places, strict=True))[:number]]

    async def _touch_moved(self, place: Place, moved: Reply, owner: bytes) -> bool:
        """Touch what an old id points to. False when it is gone."""
        target = self._runner.place_of_handle(place.at.bucket, moved[1])
        touch = operations.allocate(
            target,
            self._runner.sandbox_id,
            ttl_ms=1,
            idle_ms=0,
            owner=owner,
            user=0,
            cap=0,
            retention_ms=self._policy.retention_ms,
            create=False,
        )
        _, reply = await self._runner.follow(target, touch)
        return bool(reply[0] == s.EXISTS)


def _refuse_moved(reply: Reply) -> None:
    if reply[0] == s.MOVED:
        raise errors.SessionRotatedError("this id has been replaced; its holder must not learn the new one")


def _age(reply: Reply) -> int:
    """When the session that was read was made, ms; one that cannot be read goes first."""
    try:
        return Record.from_reply(reply[1]).created if reply[0] == s.OK else 0
    except errors.CorruptRecordError:
        return 0
