"""What takes more than one call: old ids that point to new ones, a full cap, a login, whatever asks all buckets.

Each method builds calls with `operations`, has the backend run them, and turns replies into results. All times are ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import exceptions as errors
from . import ids, keys, operations
from . import statuses as s
from .backends.base import Backend, Call, Reply
from .enums import WhenFull
from .keys import Index, Place
from .record import Record

_MOST_HOPS = 16
_MOST_ROUNDS = 32


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


class Engine:
    """Sessions of one sandbox on one backend. Ids must have passed `ids.is_name`."""

    def __init__(self, backend: Backend, sandbox_id: str, policy: Policy) -> None:
        self._backend = backend
        self._sandbox = sandbox_id
        self._policy = policy

    async def allocate(
        self, session_id: str | None, owner: bytes, user_id: str | None, ttl_ms: int, pairs: Sequence[bytes]
    ) -> str:
        """Make a session, or touch the one of that id. Returns its id."""
        if session_id is None:
            session_id = self._new_id(user_id)
            await self._make(self._place(session_id), owner, user_id, ttl_ms, 0, pairs)
            return session_id
        place = self._place(session_id)
        for _ in range(_MOST_ROUNDS):
            reply = await self._make(place, owner, user_id, ttl_ms, 0, pairs)
            if reply[0] != s.MOVED or await self._touch_moved(place, reply, owner):
                return session_id
            # The old id's pointer has outlived the session that it points to.
            await self._run(operations.delete(place, pointer=True))
        raise errors.SessionConflictError("the session keeps changing; try again")

    async def validate(self, session_id: str) -> bool:
        """Whether it is alive; marks the access."""
        policy = self._policy
        place, reply = await self._follow(
            self._place(session_id),
            lambda place: operations.validate(
                place,
                interval_ms=policy.interval_ms,
                retention_ms=policy.retention_ms,
                index=policy.idle_ms > 0,
            ),
        )
        if reply[0] == s.NEEDS_INDEX:
            reply = await self._run(
                operations.validate(place, interval_ms=policy.interval_ms, retention_ms=policy.retention_ms, index=True)
            )
        return bool(reply[0] == s.OK)

    async def read(self, session_id: str) -> Record | None:
        """The record, or None."""
        _, reply = await self._follow(self._place(session_id), operations.read)
        return Record.from_reply(reply[1]) if reply[0] == s.OK else None

    async def merge(
        self,
        session_id: str,
        pairs: Sequence[bytes],
        removals: Sequence[bytes],
        *,
        replace: bool,
        version: int | None,
        operation_id: bytes,
    ) -> bool:
        """Change metadata. False when there is no such session."""
        _, reply = await self._follow(
            self._place(session_id),
            lambda place: operations.merge(
                place, pairs=pairs, removals=removals, replace=replace, version=version, operation_id=operation_id
            ),
        )
        return bool(reply[0] == s.OK)

    async def increment(
        self, session_id: str, field: bytes, amount: int, ceiling: int | None, operation_id: bytes
    ) -> tuple[bool, int] | None:
        """(applied, value), or None when there is no such session."""
        _, reply = await self._follow(
            self._place(session_id),
            lambda place: operations.increment(
                place, field=field, amount=amount, ceiling=ceiling, operation_id=operation_id
            ),
        )
        return None if reply[0] == s.GONE else (reply[0] == s.OK, reply[1])

    async def extend(self, session_id: str, additional_ms: int, operation_id: bytes) -> bool:
        """Move the deadline. False when there is no such session."""
        _, reply = await self._follow(
            self._place(session_id),
            lambda place: operations.extend(
                place,
                additional_ms=additional_ms,
                operation_id=operation_id,
                retention_ms=self._policy.retention_ms,
            ),
        )
        return bool(reply[0] == s.OK)

    async def delete(self, session_id: str) -> bool:
        """End a session, under its old id too. False when there was none."""
        first = self._place(session_id)
        place, reply = await self._follow(first, operations.delete)
        if place != first:
            await self._run(operations.delete(first, pointer=True))
        return bool(reply[0] == s.OK)

    async def rotate(self, session_id: str, grace_ms: int) -> str | None:
        """The new id, or None when there is no such session. Raises SessionRotatedError for an old id."""
        place = self._place(session_id)
        record = await self.read(session_id)
        if record is None:
            return None
        new_id = ids.new_id(record.user_id, place.at.bucket)
        reply = await self._run(operations.rotate(place, self._place(new_id), grace_ms=grace_ms))
        _refuse_moved(reply)
        return new_id if reply[0] == s.OK else None

    async def log_in(self, session_id: str, user_id: str, owner: bytes) -> str | None:
        """Copy a session to its new owner under a new id and end the old one; None when there is no such session.

        The new id is handed out only when the old session, unchanged since it was copied, has been deleted.
        """
        place = self._place(session_id)
        for _ in range(_MOST_ROUNDS):
            reply = await self._run(operations.read(place))
            _refuse_moved(reply)
            if reply[0] == s.GONE:
                return None
            record = Record.from_reply(reply[1])
            if record.user_id == user_id:
                return await self.rotate(session_id, 0)
            new_id = self._new_id(user_id)
            new = self._place(new_id)
            made = await self._make(new, owner, user_id, 1, record.deadline, record.kept, record.idle)
            if made[0] == s.GONE:
                return None
            if await self._end_at(place, new, record.version):
                return new_id
        raise errors.SessionConflictError("the session keeps changing; try again")

    async def _end_at(self, old: Place, new: Place, version: int) -> bool:
        """Delete the old session at that version; undo the new one when that fails."""
        try:
            reply = await self._run(operations.delete(old, version=version))
        except errors.VersionConflictError:
            reply = [s.CONFLICT]
        if reply[0] != s.OK:
            await self._run(operations.delete(new))
        _refuse_moved(reply)
        return bool(reply[0] == s.OK)

    async def session_ids(self, limit: int) -> list[str]:
        """Ids of live sessions of the sandbox, at most `limit`."""
        found: list[str] = []
        for part in _parts(self._indexes(), limit):
            replies = await self._run_all([operations.list_(index, user=None, limit=limit) for index in part])
            found += [ids.id_of(h.decode(), i.bucket) for i, r in zip(part, replies, strict=True) for h in r[1]]
            if len(found) >= limit:
                break
        return found[:limit]

    async def sessions_of(self, user_id: str) -> list[tuple[str, Record]]:
        """The live sessions of a user with their ids, oldest first."""
        places = await self._places_of(user_id)
        replies = await self._run_all([operations.read(place) for place in places])
        records = [
            (ids.id_of(place.handle.decode(), place.at.bucket), Record.from_reply(reply[1]))
            for place, reply in zip(places, replies, strict=True)
            if reply[0] == s.OK
        ]
        # The index holds hashes: the record says whose it really is.
        mine = [(session_id, record) for session_id, record in records if record.user_id == user_id]
        return sorted(mine, key=lambda pair: (pair[1].created, pair[0]))

    async def count(self, user_id: str | None) -> int:
        """How many live sessions the sandbox, or a user in it, has."""
        user = None if user_id is None else ids.user_hash(user_id)
        replies = await self._run_all([operations.count(index, user=user) for index in self._indexes()])
        return sum(reply[1] for reply in replies)

    async def revoke(self, user_id: str, owner: bytes, keep: str | None) -> int:
        """End the sessions of a user but `keep`, until there are none left to find. Returns how many ended."""
        kept = None if keep is None else await self._now_at(self._place(keep))
        ended = 0
        for _ in range(_MOST_ROUNDS):
            places = [place for place in await self._places_of(user_id) if place != kept]
            replies = await self._run_all(
                [operations.delete(place, owner=owner) for place in places], owner_misses=True
            )
            ended += sum(reply[0] == s.OK for reply in replies)
            if all(reply[0] == s.OTHER_OWNER for reply in replies):
                break
        return ended

    async def sweep(self) -> int:
        """Take ended sessions of the sandbox out of the indexes. Returns how many there were."""
        return await self._sweep([(index, self._sandbox) for index in self._indexes()])

    async def sweep_everything(self) -> int:
        """The same for every sandbox that has some."""
        buckets = range(ids.BUCKETS)
        replies = await self._run_all([operations.due(keys.sandboxes(bucket)) for bucket in buckets])
        return await self._sweep(
            [
                (keys.index(sandbox.decode(), bucket), sandbox.decode())
                for bucket, reply in zip(buckets, replies, strict=True)
                for sandbox in reply[1]
            ]
        )

    async def _sweep(self, places: list[tuple[Index, str]]) -> int:
        swept = 0
        while places:
            replies = await self._run_all([operations.sweep(index, sandbox) for index, sandbox in places])
            swept += sum(reply[1] for reply in replies)
            full = [reply[1] == operations.SWEEP_LIMIT for reply in replies]
            places = [place for place, more in zip(places, full, strict=True) if more]
        return swept

    async def _make(
        self,
        place: Place,
        owner: bytes,
        user_id: str | None,
        ttl_ms: int,
        deadline_ms: int,
        pairs: Sequence[bytes],
        idle_ms: int | None = None,
    ) -> Reply:
        """Allocate, making room under a full cap where the policy says so."""
        policy = self._policy
        victims: list[Place] = []
        for _ in range(_MOST_ROUNDS):
            reply = await self._run(
                operations.allocate(
                    place,
                    self._sandbox,
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
            )
            if reply[0] != s.FULL:
                return reply
            if policy.when_full is WhenFull.REFUSE:
                raise errors.SessionLimitError(f"the user has {len(reply[1])} sessions; {policy.cap} are allowed")
            victims = await self._oldest(place.at.bucket, reply[1], 1 + len(reply[1]) - policy.cap)
        raise errors.SessionLimitError("other sessions of the user keep taking the place made for this one")

    async def _oldest(self, bucket: int, handles: list[bytes], number: int) -> list[Place]:
        places = [keys.place_of_handle(self._sandbox, bucket, handle) for handle in handles]
        replies = await self._run_all([operations.read(place) for place in places])
        ages = [Record.from_reply(reply[1]).created if reply[0] == s.OK else 0 for reply in replies]
        return [place for _, place in sorted(zip(ages, places, strict=True))[:number]]

    async def _touch_moved(self, place: Place, moved: Reply, owner: bytes) -> bool:
        """Touch what an old id points to. False when it is gone."""
        policy = self._policy

        def touch(place: Place) -> Call:
            return operations.allocate(
                place,
                self._sandbox,
                ttl_ms=1,
                idle_ms=0,
                owner=owner,
                user=0,
                cap=0,
                retention_ms=policy.retention_ms,
                create=False,
            )

        _, reply = await self._follow(keys.place_of_handle(self._sandbox, place.at.bucket, moved[1]), touch)
        return bool(reply[0] == s.EXISTS)

    async def _places_of(self, user_id: str) -> list[Place]:
        """Where the index has sessions of a user: in the home bucket, and anywhere for ids that callers chose."""
        user = ids.user_hash(user_id)
        indexes = self._indexes()
        replies = await self._run_all([operations.list_(index, user=user, limit=0) for index in indexes])
        return [
            keys.place_of_handle(self._sandbox, index.bucket, handle)
            for index, reply in zip(indexes, replies, strict=True)
            for handle in reply[1]
        ]

    async def _now_at(self, place: Place) -> Place:
        """Where a session lies now, if its id was rotated."""
        return (await self._follow(place, operations.read))[0]

    async def _follow(self, place: Place, build: Callable[[Place], Call]) -> tuple[Place, Reply]:
        """Run a call on a session, or on what its old id points to. Returns where it ran last, too."""
        for _ in range(_MOST_HOPS):
            reply = await self._run(build(place))
            if reply[0] != s.MOVED:
                return place, reply
            place = keys.place_of_handle(self._sandbox, place.at.bucket, reply[1])
        return place, [s.GONE]

    async def _run(self, call: Call) -> Reply:
        reply = await self._backend.run(*call)
        operations.check(call.operation, reply)
        return reply

    async def _run_all(self, calls: list[Call], *, owner_misses: bool = False) -> list[Reply]:
        """Run calls side by side. When one fails, the others end first. `owner_misses`: OTHER_OWNER is no error."""
        replies = await asyncio.gather(*(self._backend.run(*call) for call in calls), return_exceptions=True)
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, BaseException):
                raise reply
            if not (owner_misses and reply[0] == s.OTHER_OWNER):
                operations.check(call.operation, reply)
        return [reply for reply in replies if not isinstance(reply, BaseException)]

    def _new_id(self, user_id: str | None) -> str:
        bucket = ids.random_bucket() if user_id is None else ids.home_bucket(self._sandbox, user_id)
        return ids.new_id(user_id, bucket)

    def _place(self, session_id: str) -> Place:
        return keys.place(self._sandbox, session_id)

    def _indexes(self) -> list[Index]:
        return [keys.index(self._sandbox, bucket) for bucket in range(ids.BUCKETS)]


def _parts(indexes: list[Index], limit: int) -> list[list[Index]]:
    """All buckets at once, or in smaller parts when few sessions are wanted."""
    size = ids.BUCKETS if limit >= ids.BUCKETS else 32
    return [indexes[first : first + size] for first in range(0, len(indexes), size)]


def _refuse_moved(reply: Reply) -> None:
    if reply[0] == s.MOVED:
        raise errors.SessionRotatedError("this id has been replaced; its holder must not learn the new one")
