"""Pages of the indexes of many buckets, by default of all.

The pages of one bucket are read in order, and each continues after the last entry of the page before. So an entry is
read exactly once if its score stays the same, and at least once if its score only grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from ..core import ids, index_operations
from ..core.index_operations import Cursor
from ..core.operation import Call, Reply
from .executor import Executor

FEW_BUCKETS = 32
"""Buckets in a round once most have been read, or where no caller waits for the last of them."""

_ROUND_ENTRIES = 8192
"""Most entries that one round reads, over all of its buckets."""

PageCall = Callable[[int, int, Cursor], Call]
"""Builds the call for a page from bucket, limit and cursor."""


class Pages:
    """The pages of an index in each of some buckets. Each round reads a page of some buckets concurrently."""

    def __init__(
        self,
        executor: Executor,
        page_call: PageCall,
        *,
        buckets: Iterable[int] = range(ids.BUCKETS),
        all_at_once: bool = True,
        min_limit: int = 1,
    ) -> None:
        """Prepare to read; nothing is sent.

        `all_at_once` has the first round read all buckets. `min_limit` is the smallest limit of a page.
        """
        self._executor = executor
        self._page_call = page_call
        self._buckets_per_round = ids.BUCKETS if all_at_once else FEW_BUCKETS
        self._min_limit = min_limit
        self._unread: dict[int, Cursor] = dict.fromkeys(buckets, index_operations.START)

    async def next(self, wanted: int = _ROUND_ENTRIES) -> list[tuple[int, Reply]]:
        """Read the next round of about `wanted` entries. Returns buckets with replies; an empty list at the end.

        Raises the error of the first call that failed, once all calls of the round have finished.
        """
        buckets = list(islice(self._unread.items(), self._buckets_per_round))
        if not buckets:
            return []
        share = -(-min(wanted, _ROUND_ENTRIES) // len(buckets))
        limit = min(index_operations.PAGE_LIMIT, max(self._min_limit, share))
        calls = [self._page_call(bucket, limit, cursor) for bucket, cursor in buckets]
        replies = await self._executor.execute_all(calls)
        for (bucket, _), reply in zip(buckets, replies, strict=True):
            if len(reply) > 2:
                self._unread[bucket] = index_operations.cursor(reply) or index_operations.START
            else:
                del self._unread[bucket]
        self._buckets_per_round = FEW_BUCKETS
        return [(bucket, reply) for (bucket, _), reply in zip(buckets, replies, strict=True)]
