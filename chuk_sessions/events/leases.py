"""Leases: the share of the buckets that a process reads.

The processes of a reader register. Each computes its share of the buckets from the list of processes, claims these
buckets, and releases the others. Only the lease of a bucket decides which process reads it, so a process with an
outdated list reads nothing twice. At worst, no process reads a bucket for a moment.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection, Iterable
from hashlib import blake2b

from ..core import ids, reader_operations, statuses
from ..core.durations import ms_from_seconds
from ..core.operation import Call
from ..core.reader_operations import Lease
from ..engine.executor import Executor
from ..exceptions import SessionError
from .bucket import Bucket

_ROUNDS = 4
"""Rounds of renewal in the time of a lease. The store grants a lease for one round less, so that another process has
taken over a bucket when the whole time has passed since the last sign of life.
"""

_MARGIN_SECONDS = 0.02

_SHORTEST_SECONDS = 0.1
"""The shortest lease. One of less than the margin's double ends before it can be renewed, so nothing is delivered."""


def check_lease(seconds: object) -> float:
    """Return the seconds of a lease. Raises ValueError unless they are a finite number of at least 0.1."""
    found = ms_from_seconds(seconds, "lease_seconds") / 1000
    if found < _SHORTEST_SECONDS:
        raise ValueError(f"lease_seconds must be at least {_SHORTEST_SECONDS:g}, not {found:g}")
    return found


class Leases:
    """The buckets that this process reads.

    Attributes:
        held: the buckets by their numbers.
        missed: the number of events that the cap has removed before this process received them.

    """

    def __init__(self, executor: Executor, reader: str, *, lease_seconds: float, newest: bool) -> None:
        self._executor = executor
        self._reader = reader
        self._newest = newest
        self._round_seconds = lease_seconds / _ROUNDS
        self._lease_ms = int(1000 * lease_seconds * (_ROUNDS - 1) / _ROUNDS)
        self._member = secrets.token_hex(8).encode()
        self._home = ids.home_bucket("readers", reader)
        self._storing = asyncio.Lock()
        self.held: dict[int, Bucket] = {}
        self.missed = 0

    async def renew(self) -> float:
        """Renew all leases, release those of other processes' buckets, and claim the missing ones.

        Return the seconds until the next round.

        Raises the error of the store if no bucket could be claimed. If only the list of processes cannot be reached,
        this process keeps its share.
        """
        try:
            reply = await self._executor.execute(self._join(self._lease_ms))
        except SessionError:
            # The next attempt follows soon, so only those are renewed that were not renewed for a round.
            late = self._now() + self._lease_ms / 1000 - self._round_seconds
            await self.store([bucket for bucket in self.held.values() if bucket.valid_until <= late])
            raise
        silent_ms = reader_operations.members_of(reply)
        members = {self._member} | {member for member, ms in silent_ms.items() if 0 <= ms < self._lease_ms}
        mine = set(share(self._member, members))
        for bucket in self.held.values():
            if bucket.number in mine:
                bucket.leaving = False
            else:
                bucket.leave()
        await self.store(list(self.held.values()))
        wait = await self._claim(mine - set(self.held))
        # If a process does not renew its registration, its share is free when that ends.
        expiries = [(self._lease_ms - silent_ms[member]) / 1000 for member in members - {self._member}]
        return min([self._round_seconds, wait, *expiries]) + _MARGIN_SECONDS

    async def store(self, buckets: Iterable[Bucket]) -> None:
        """Store the cursors of buckets, and renew their leases. Release leaving buckets, unless one of their events is
        in use.

        A bucket whose lease was lost is no longer held afterwards. After an error of the store, a lease ends unless a
        later call renews it.
        """
        async with self._storing:
            buckets = [bucket for bucket in buckets if self.held.get(bucket.number) is bucket]
            releases = [bucket.leaving and not bucket.delivered for bucket in buckets]
            commits = [
                bucket.commit(0 if release else self._lease_ms)
                for bucket, release in zip(buckets, releases, strict=True)
            ]
            valid_until = self._now() + self._lease_ms / 1000
            outcomes = await self._executor.settle_all([call for call, _ in commits], accepted={statuses.GONE})
            for bucket, (_, position), release, outcome in zip(buckets, commits, releases, outcomes, strict=True):
                if isinstance(outcome, SessionError):
                    continue
                if outcome[0] == statuses.GONE or release:
                    self.drop(bucket)
                else:
                    bucket.committed(position, valid_until)
                self.missed += outcome[1] if outcome[0] == statuses.OK else 0

    def is_valid(self, bucket: Bucket) -> bool:
        """Return whether this process may deliver events of a bucket. A bucket whose lease has ended is dropped."""
        if self.held.get(bucket.number) is not bucket or bucket.leaving:
            return False
        if self._now() >= bucket.valid_until:
            self.drop(bucket)
            return False
        return True

    def drop(self, bucket: Bucket) -> None:
        """Forget a bucket and its received events."""
        bucket.entries.clear()
        if self.held.get(bucket.number) is bucket:
            del self.held[bucket.number]

    async def aclose(self) -> None:
        """Store all cursors, release all leases, and unregister, as far as the store can be reached."""
        for bucket in self.held.values():
            bucket.delivered = b""
            bucket.leave()
        await self.store(list(self.held.values()))
        self.held.clear()
        await self._executor.settle_all([self._join(0)])

    def _join(self, lease_ms: int) -> Call:
        return reader_operations.join(self._home, self._reader, self._member, lease_ms=lease_ms)

    async def _claim(self, numbers: Collection[int]) -> float:
        """Claim buckets. Return the seconds after which to retry the buckets that another process holds."""
        name, wait, failure, sent_at = self._reader.encode(), self._round_seconds, None, self._now()
        calls = [
            reader_operations.claim(number, name, self._member, lease_ms=self._lease_ms, newest=self._newest)
            for number in numbers
        ]
        outcomes = await self._executor.settle_all(calls, accepted={statuses.HELD})
        for number, outcome in zip(numbers, outcomes, strict=True):
            if isinstance(outcome, SessionError):
                failure = outcome
            elif outcome[0] == statuses.HELD:
                # The other process releases the bucket in its next round, unless it is gone.
                wait = min(wait, outcome[1] / 1000, self._round_seconds / 4)
            else:
                lease, valid_until = Lease(name, self._member, outcome[1]), sent_at + self._lease_ms / 1000
                self.held[number] = Bucket(number, lease, outcome[2], valid_until)
        if failure is not None and not self.held:
            raise failure
        return wait

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def share(member: bytes, members: Collection[bytes]) -> list[int]:
    """Return the share of a process. When a process joins or leaves, only its own share moves."""
    return [bucket for bucket in range(ids.BUCKETS) if max(members, key=lambda one: _rank(one, bucket)) == member]


def _rank(member: bytes, bucket: int) -> bytes:
    return blake2b(b"%d" % bucket, key=member, digest_size=8).digest()
