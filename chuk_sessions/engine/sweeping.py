"""Sweeps: removal of expired sessions, of one sandbox or of all, each record together with its index entries."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from ..core import ids, index_operations, keys
from ..core.index_operations import Cursor
from ..core.keys import IndexKeys
from ..core.operation import Call, Reply
from .executor import Executor
from .paging import Pages
from .time_slice import TimeSlice

_CONCURRENT_SANDBOXES = 256
"""Sandboxes that are swept concurrently, over all buckets."""

_CONCURRENT_REMOVALS = 16
"""Concurrent calls that remove sessions: each removes up to hundreds."""

_Target = tuple[IndexKeys, str, Sequence[bytes]]
"""A sandbox in one bucket: its index, its name, and the handles of the expired sessions to remove next."""


class Sweeper:
    """Removes expired sessions."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._sandbox = executor.sandbox_id

    async def sweep(self) -> int:
        """Sweep the executor's sandbox. Returns how many sessions were removed."""
        return await self._sweep([_target(bucket, self._sandbox) for bucket in range(ids.BUCKETS)])

    async def sweep_everything(self) -> int:
        """Sweep every sandbox that has expired sessions. Returns how many were removed."""
        pages, total = Pages(self._executor, _due), 0
        while replies := await pages.next():
            due = ((bucket, name) for bucket, reply in replies for name in map(_text, reply[1]) if ids.is_name(name))
            while part := [_target(*sandbox) for sandbox in islice(due, _CONCURRENT_SANDBOXES)]:
                total += await self._sweep(part)
        return total

    async def _sweep(self, targets: list[_Target]) -> int:
        """List the expired sessions of all targets, then remove them, a group of targets after the other.

        Only the calls of one group exist at the same time: building or freeing those of all targets would hold the
        event loop. Each call also lists the sessions for its target's next call.
        """
        replies = await self._executor.execute_all([index_operations.sweep(*target) for target in targets])
        swept, unswept, time_slice = 0, _unswept(targets, replies), TimeSlice()
        while unswept:
            group, unswept = unswept[:_CONCURRENT_REMOVALS], unswept[_CONCURRENT_REMOVALS:]
            calls = []
            for target in group:
                calls.append(index_operations.sweep(*target))
                if time_slice.is_over():
                    await time_slice.renew()
            replies = await self._executor.execute_all(calls)
            swept += sum(reply[1] for reply in replies)
            unswept += _unswept(group, replies)
        return swept


def _target(bucket: int, sandbox: str) -> _Target:
    return keys.index(sandbox, bucket), sandbox, ()


def _unswept(targets: Sequence[_Target], replies: Sequence[Reply]) -> list[_Target]:
    """Return the targets that have more expired sessions, with the handles that the replies list."""
    pairs = zip(targets, replies, strict=True)
    return [(index, sandbox, reply[2]) for (index, sandbox, _), reply in pairs if reply[2]]


def _due(bucket: int, limit: int, after: Cursor) -> Call:
    return index_operations.due(keys.sandboxes(bucket), limit, after)


def _text(name: bytes) -> str:
    return name.decode("ascii", "replace")
