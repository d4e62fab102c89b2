"""Whatever asks all buckets: the sessions of a sandbox or of a user, listed, counted, revoked, swept."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from . import exceptions as errors
from . import ids, keys, operations
from . import statuses as s
from .keys import Index, Place
from .record import Record
from .runner import MOST_ROUNDS, Runner

logger = logging.getLogger(__name__)


class Census:
    """Sessions of one sandbox, taken together."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._sandbox = runner.sandbox_id

    async def session_ids(self, limit: int) -> list[str]:
        """Ids of live sessions of the sandbox, at most `limit`."""
        found: list[str] = []
        for part in _parts(self._indexes(), limit):
            replies = await self._runner.run_all([operations.list_(index, user=None, limit=limit) for index in part])
            handles = [(index.bucket, handle) for index, r in zip(part, replies, strict=True) for handle in r[1]]
            found += [session_id for pair in handles if (session_id := _id_of(*pair)) is not None]
            if len(found) >= limit:
                break
        return found[:limit]

    async def sessions_of(self, user_id: str) -> list[tuple[str, Record]]:
        """The live sessions of a user with their ids, oldest first. Records that cannot be read are left out."""
        places = await self._places_of(user_id)
        replies = await self._runner.run_all([operations.read(place) for place in places])
        records = [
            (session_id, record)
            for place, reply in zip(places, replies, strict=True)
            if reply[0] == s.OK and (record := _readable(reply[1])) is not None
            if (session_id := _id_of(place.at.bucket, place.handle)) is not None
        ]
        # The index holds hashes: the record says whose it really is.
        mine = [(session_id, record) for session_id, record in records if record.user_id == user_id]
        return sorted(mine, key=lambda pair: (pair[1].created, pair[0]))

    async def count(self, user_id: str | None) -> int:
        """How many live sessions the sandbox, or a user in it, has."""
        user = None if user_id is None else ids.user_hash(user_id)
        replies = await self._runner.run_all([operations.count(index, user=user) for index in self._indexes()])
        return int(sum(reply[1] for reply in replies))

    async def revoke(self, user_id: str, owner: bytes, keep: Place | None) -> int:
        """End the sessions of a user but `keep`, until there are none left to find. Returns how many ended.

        Raises SessionConflictError when the user's sessions keep coming; and NotReplicatedError, once none is left,
        when fewer replicas than asked for have that.
        """
        ended: int = 0
        not_replicated: list[errors.NotReplicatedError] = []
        for _ in range(MOST_ROUNDS):
            kept = None if keep is None else await self._now_at(keep)
            places = [place for place in await self._places_of(user_id) if place != kept]
            calls = [operations.delete(place, owner=owner) for place in places]
            replies = await self._runner.run_all(calls, owner_misses=True, not_replicated=not_replicated)
            ended += sum(reply[0] == s.OK for reply in replies)
            if all(reply[0] == s.OTHER_OWNER for reply in replies):
                if not_replicated:
                    raise not_replicated[0]
                return ended
        raise errors.SessionConflictError(f"new sessions of the user keep coming; {ended} have ended")

    async def sweep(self) -> int:
        """Take ended sessions of the sandbox out of the indexes. Returns how many there were."""
        return await self._sweep([(index, self._sandbox) for index in self._indexes()])

    async def sweep_everything(self) -> int:
        """The same for every sandbox that has some."""
        buckets, total = range(ids.BUCKETS), 0
        while True:
            replies = await self._runner.run_all([operations.due(keys.sandboxes(bucket)) for bucket in buckets])
            names = [
                (bucket, name)
                for bucket, reply in zip(buckets, replies, strict=True)
                for name in map(_text, reply[1])
                if ids.is_name(name)
            ]
            swept = await self._sweep([(keys.index(name, bucket), name) for bucket, name in names])
            total += swept
            if not swept or all(len(reply[1]) < operations.SWEEP_LIMIT for reply in replies):
                return total

    async def _sweep(self, places: list[tuple[Index, str]]) -> int:
        swept = 0
        while places:
            replies = await self._runner.run_all([operations.sweep(index, sandbox) for index, sandbox in places])
            swept += sum(reply[1] for reply in replies)
            full = [reply[1] == operations.SWEEP_LIMIT for reply in replies]
            places = [place for place, more in zip(places, full, strict=True) if more]
        return swept

    async def _places_of(self, user_id: str) -> list[Place]:
        """Where the index has sessions of a user: in the home bucket, and anywhere for ids that callers chose."""
        user = ids.user_hash(user_id)
        indexes = self._indexes()
        replies = await self._runner.run_all([operations.list_(index, user=user, limit=0) for index in indexes])
        return [
            self._runner.place_of_handle(index.bucket, handle)
            for index, reply in zip(indexes, replies, strict=True)
            for handle in reply[1]
            if _id_of(index.bucket, handle) is not None
        ]

    async def _now_at(self, place: Place) -> Place:
        """Where a session lies now, if its id was rotated."""
        return (await self._runner.follow(place, operations.read(place)))[0]

    def _indexes(self) -> list[Index]:
        return [keys.index(self._sandbox, bucket) for bucket in range(ids.BUCKETS)]


def _parts(indexes: list[Index], limit: int) -> list[list[Index]]:
    """All buckets at once, or in smaller parts when few sessions are wanted."""
    size = ids.BUCKETS if limit >= ids.BUCKETS else 32
    return [indexes[first : first + size] for first in range(0, len(indexes), size)]


def _id_of(bucket: int, handle: bytes) -> str | None:
    """The id that an entry of an index stands for, or None for one that nobody here has written."""
    try:
        session_id = ids.id_of(_text(handle), bucket)
    except ValueError:
        session_id = ""
    if ids.is_name(session_id):
        return session_id
    logger.warning("an index holds something else than sessions, which is left out")
    return None


def _text(entry: bytes) -> str:
    return entry.decode("ascii", "replace")


def _readable(fields: Sequence[bytes]) -> Record | None:
    try:
        return Record.from_reply(fields)
    except errors.CorruptRecordError:
        logger.warning("a session record cannot be read and is left out of a list")
        return None
