"""Ids that may be used once: those of proofs and client assertions."""

from __future__ import annotations

import math
import time
from threading import Lock
from typing import Final, Protocol

from ..core import single_use, statuses
from ..engine.executor import Executor

MAX_REMEMBERED: Final = 100_000
_SWEEP_SECONDS: Final = 1.0


class Replays(Protocol):
    """A memory of ids that may be used once."""

    async def is_first(self, name: str, seconds: float) -> bool:
        """Return whether this is the first use of an id, and remember it for some seconds."""


class RecentIds:
    """A memory of this process, for any number of event loops and threads.

    It holds a limited number of ids. When it is full of ids that have not expired, further ids are refused, because a
    forgotten id could be used again.
    """

    def __init__(self, max_remembered: int = MAX_REMEMBERED) -> None:
        self._most = max_remembered
        self._until: dict[str, float] = {}
        self._next_sweep = 0.0
        self._changing = Lock()

    async def is_first(self, name: str, seconds: float) -> bool:
        """Return whether this is the first use of an id, and remember it for some seconds."""
        now = time.monotonic()
        with self._changing:
            if self._until.get(name, 0) > now:
                return False
            if len(self._until) >= self._most and now >= self._next_sweep:
                self._until = {known: until for known, until in self._until.items() if until > now}
                self._next_sweep = now + _SWEEP_SECONDS
            if len(self._until) >= self._most:
                return False
            self._until[name] = now + seconds
            return True


class StoreReplays:
    """A memory in the store of a manager, for all processes."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def is_first(self, name: str, seconds: float) -> bool:
        """Return whether this is the first use of an id, and remember it for some seconds.

        Raises:
            ProviderError: the store failed.

        """
        call = single_use.use_once(self._executor.sandbox_id, name, max(1, math.ceil(1000 * seconds)))
        reply = await self._executor.execute(call)
        return bool(reply[0] == statuses.OK)
