"""Delivery: receives the events of the buckets that a process reads, and hands them out one at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Final

from ..exceptions import SessionError
from .bucket import Bucket
from .leases import Leases
from .streams import Streams

logger = logging.getLogger("chuk_sessions.events")

_PAGE: Final = 100
"""Most events of a bucket that one poll receives."""

_SHORTEST_SECONDS: Final = 0.002
"""Pause between polls while events arrive. It doubles with each poll that finds none."""


class Delivery:
    """The events of the buckets that this process reads, in the order of each bucket."""

    def __init__(self, streams: Streams, leases: Leases, longest_pause: float) -> None:
        self._streams = streams
        self._leases = leases
        self._longest_pause = longest_pause
        self._pause = _SHORTEST_SECONDS
        self._ready: deque[Bucket] = deque()
        self._is_failing = False

    def take(self) -> tuple[Bucket, Any] | None:
        """Return the next event as the store has it, with its bucket; None if another poll must come first.

        Events of buckets whose lease has ended are skipped, because another process delivers them.
        """
        while self._ready:
            bucket = self._ready.popleft()
            if not self._leases.is_valid(bucket) or not bucket.entries:
                continue
            entry = bucket.deliver()
            if bucket.entries:
                self._ready.append(bucket)
            return bucket, entry
        return None

    async def poll(self) -> None:
        """Ask for further events. If there are none, pause, and increase the pause each time.

        An outage is logged, and does not end the delivery.
        """
        buckets = [bucket for bucket in self._leases.held.values() if not bucket.leaving]
        outcomes = await self._streams.read([(bucket.number, bucket.received) for bucket in buckets], _PAGE)
        failure = None
        for bucket, outcome in zip(buckets, outcomes, strict=True):
            if isinstance(outcome, SessionError):
                failure = outcome
            elif outcome and self._leases.is_valid(bucket):
                bucket.receive(outcome)
                self._ready.append(bucket)
        self._log(failure)
        if self._ready:
            self._pause = _SHORTEST_SECONDS
        else:
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, self._longest_pause)

    def _log(self, failure: SessionError | None) -> None:
        if failure is not None and not self._is_failing:
            logger.warning("events cannot be read, and are read later: %s", failure)
        elif failure is None and self._is_failing:
            logger.info("events can be read again")
        self._is_failing = failure is not None
