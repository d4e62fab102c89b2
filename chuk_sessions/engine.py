"""What one session goes through: old ids that point to new ones, a full cap, a login.

Each method builds calls with `operations`, has the backend run them, and turns replies into results. All times are ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from . import exceptions as errors
from . import ids, operations
from . import statuses as s
from .backends.base import Call, Reply
from .cancellation import CriticalSection, run_in_background
from .enums import WhenFull
from .keys import Place
from .record import Record, fields_of
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

    def undo(self) -> Sequence[Call]:
        """Delete whatever any of the attempts has made."""
        return (*self._lost, operations.delete(self.place))


class Engine:
    """Sessions of one sandbox on one backend."""

    def __init__(self, runner: Runner, policy: Policy) -> None:
        self._runner = runner
        self._policy = policy

    async def allocate(self, owner: bytes, user_id: str | None, ttl_ms: int, pairs: Sequence[bytes]) -> str:
        """Make a session under a fresh id. Returns that.

        Nobody learns the id when the call is canceled. The session that it may have made is then deleted in the
        background.
        """
        attempt = _Attempt(self._runner, user_id, None)
        try:
            await self._make(attempt, owner, user_id, ttl_ms, 0, pairs)
        except asyncio.CancelledError:
            run_in_background(self._undo(attempt))
            raise
        return attempt.session_id

    async def allocate_at(
        self, place: Place, owner: bytes, user_id: str | None, ttl_ms: int, pairs: Sequence[bytes]
    ) -> None:
        """Make a session there, or touch the one that is."""
        for _ in range(MOST_ROUNDS):
            reply = await self._make(_Attempt(self._runner, user_id, place), owner, user_id, ttl_ms, 0, pairs)
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
        chosen = not ids.is_generated(place.handle)
        first = await (self._delete_seen(place) if chosen else self._runner.run(operations.delete(place)))
        if first[0] != s.MOVED:
            return bool(first[0] == s.OK)
        target = self._runner.place_of_handle(place.at.bucket, first[1])
        _, reply = await self._runner.follow(target, operations.delete(target))
        await self._runner.run(operations.delete(place, pointer=first[1]))
        return bool(reply[0] == s.OK)

    async def _delete_seen(self, place: Place) -> Reply:
        """Delete the session that is there now. A call that is repeated, or arrives late, may meet another session of
        the same id, which stays.
        """
        seen = await self._runner.ask(operations.read(place))
        if seen[0] in (s.GONE, s.MOVED):
            return seen
        created = fields_of(seen[1]).get(b"c", b"") if seen[0] == s.OK else b""
        return await self._runner.run(operations.delete(place, created=created))

    async def rotate(self, place: Place, grace_ms: int) -> str | None:
        """The new id, or None when there is no such session. Raises SessionRotatedError for an old id.

        The rotation itself is not interrupted by a cancellation, which would leave a session whose id nobody knows.
        """
        record = await self.read(place)
        if record is None:
            return None
        new_id, new = self._runner.new_place(record.user_id, place.at.bucket)
        call = operations.rotate(place, new, grace_ms=grace_ms)
        reply = await CriticalSection().run(self._runner.run(call))
        _refuse_moved(reply)
        return new_id if reply[0] == s.OK else None

    async def log_in(self, place: Place, user_id: str, owner: bytes) -> str | None:
        """Copy a session to its new owner under a new id and end the old one; None when there is no such session.

        The new id is handed out only when the old session, unchanged since it was copied, has been deleted. That is the
        point of no return: a cancellation before it deletes the copy, and one that comes later is delivered at the
        caller's next await, after the new id.
        """
        for _ in range(MOST_ROUNDS):
            reply = await self._runner.run(operations.read(place))
            _refuse_moved(reply)
            if reply[0] == s.GONE:
                return None
            record = Record.from_reply(reply[1])
            if record.user_id == user_id:
                return await self.rotate(place, 0)
            section = CriticalSection()
            with suppress(errors.VersionConflictError):
                return await section.run(self._move(section, place, record, user_id, owner))
        raise errors.SessionConflictError("the session keeps changing; try again")

    async def _move(
        self, section: CriticalSection, old: Place, record: Record, user_id: str, owner: bytes
    ) -> str | None:
        """Copy a session as it was read, and delete the old one. Raises VersionConflictError when it has changed."""
        attempt, made = _Attempt(self._runner, user_id, None), False
        try:
            reply = await self._make(attempt, owner, user_id, 1, record.deadline, record.kept, record.idle)
            if reply[0] == s.GONE:
                return None
            made = True
            if section.canceled:
                raise asyncio.CancelledError
            end = operations.delete(old, version=record.version, created=record.created)
            reply = await self._runner.run(end)
        except (errors.SessionError, asyncio.CancelledError):
            if made or section.canceled:
                await self._undo(attempt)
            raise
        if reply[0] != s.OK:
            await self._undo(attempt)
        _refuse_moved(reply)
        return attempt.session_id if reply[0] == s.OK else None

    async def _undo(self, attempt: _Attempt) -> None:
        """Delete what an attempt may have made, as far as the store can be reached."""
        with suppress(errors.SessionError):
            await self._runner.run_all(attempt.undo())

    async def _make(
        self,
        attempt: _Attempt,
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
            )
            reply = await self._runner.ask(attempt.call, attempt.renew if attempt.session_id else None)
            if operations.check(attempt.call.operation, reply) != s.FULL:
                if reply[0] == s.CREATED and len(reply) > 1:
                    await self._sweep(attempt.place, reply[1])
                return reply
            victims = await self._victims(attempt.place.at.bucket, reply[1], owner)
        raise errors.SessionLimitError("other sessions of the user keep taking the place made for this one")

    async def _sweep(self, place: Place, ended: Sequence[bytes]) -> None:
        """Remove ended sessions that an allocation has come across. Failing to is no failure of the allocation."""
        with suppress(errors.SessionError):
            await self._runner.run(operations.sweep(place.at, self._runner.sandbox_id, ended))

    async def _victims(self, bucket: int, handles: list[bytes], owner: bytes) -> list[Place]:
        """What the store is to look at to make room: all that does not count, and the user's oldest sessions, damaged
        ones first. Raises SessionLimitError where none of them may leave.
        """
        places = [self._runner.place_of_handle(bucket, handle) for handle in handles]
        replies = await asyncio.gather(*(self._runner.ask(operations.read(place)) for place in places))
        ages = dict(zip(places, (_age(reply, owner) for reply in replies), strict=True))
        own = sorted((age, place) for place, age in ages.items() if age is not None)
        surplus = len(own) + 1 - self._policy.cap
        if surplus > 0 and self._policy.when_full is WhenFull.REFUSE:
            raise errors.SessionLimitError(f"the user has {len(own)} sessions; {self._policy.cap} are allowed")
        leaving = own[: max(0, min(surplus, operations.MOST_LEAVING))]
        return [place for place, age in ages.items() if age is None] + [place for _, place in leaving]

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


def _age(reply: Reply, owner: bytes) -> int | None:
    """When the session that was read was created, ms: 0 for a damaged one, which leaves first. None for what does not
    count for the owner: an ended session, or that of another user with the same hash.
    """
    if reply[0] == s.GONE:
        return None
    if reply[0] != s.OK:
        return 0
    fields = fields_of(reply[1])
    if fields.get(b"u", owner) != owner:
        return None
    created = fields.get(b"c", b"")
    return int(created) if created.isdigit() else 0
