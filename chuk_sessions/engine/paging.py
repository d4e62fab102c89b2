"""Pages of the indexes of all buckets.

The pages of one bucket are read in order, and each continues after the last entry of the one before. So an entry is
read exactly once if it stays in its place, and at least once if its score only grows.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from ..core import ids, operations
from ..core.operation import Call, Reply
from ..core.operations import Cursor
from .executor import Executor

NARROW = 32
"""Buckets that are read side by side once most have nothing left, or where no caller waits for the last of them."""

_PAGES_AT_ONCE = 8192
"""Most entries that one round reads, over all of its buckets."""

Ask = Callable[[int, int, Cursor], Call]
"""Builds the call for a page from bucket, limit and cursor."""


class Pages:
    """Reads an index of every bucket, some buckets side by side in each round."""

    def __init__(self, executor: Executor, ask: Ask, *, wide: bool = True, least: int = 1) -> None:
        """Prepare to read. `wide` asks all buckets in the first round; `least` is the smallest limit of a page."""
        self._executor = executor
        self._ask = ask
        self._width = ids.BUCKETS if wide else NARROW
        self._least = least
        self._waiting: dict[int, Cursor] = dict.fromkeys(range(ids.BUCKETS), operations.START)

    async def next(self, wanted: int = _PAGES_AT_ONCE) -> list[tuple[int, Reply]]:
        """Read the next round of about `wanted` entries. Returns replies with their buckets; an empty list at the end.

        Raises what the first call raised that failed, once all of the round have ended.
        """
        part = list(islice(self._waiting.items(), self._width))
        if not part:
            return []
        share = -(-min(wanted, _PAGES_AT_ONCE) // len(part))
        limit = min(operations.PAGE_LIMIT, max(self._least, share))
        replies = await self._executor.execute_all([self._ask(bucket, limit, cursor) for bucket, cursor in part])
        for (bucket, _), reply in zip(part, replies, strict=True):
            if len(reply) > 2:
                self._waiting[bucket] = operations.cursor(reply) or operations.START
            else:
                del self._waiting[bucket]
        self._width = NARROW
        return [(bucket, reply) for (bucket, _), reply in zip(part, replies, strict=True)]
