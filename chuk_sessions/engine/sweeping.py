"""Sweeps: ended sessions are removed, of one sandbox or of all, each record together with its index entries."""

from __future__ import annotations

from itertools import islice

from ..core import ids, keys, operations
from ..core.keys import IndexKeys
from ..core.operation import Call
from ..core.operations import Cursor
from .executor import Executor
from .pacing import Pace
from .paging import Pages

_SANDBOXES = 256
"""Sandboxes that are swept side by side."""

_REMOVALS = 16
"""Calls that remove sessions side by side: each names hundreds."""


class Sweeper:
    """Removes ended sessions."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._sandbox = executor.sandbox_id

    async def sweep(self) -> int:
        """Sweep the runner's sandbox. Returns how many sessions were removed."""
        return await self._sweep([(keys.index(self._sandbox, bucket), self._sandbox) for bucket in range(ids.BUCKETS)])

    async def sweep_everything(self) -> int:
        """Sweep every sandbox that has ended sessions. Returns how many were removed."""
        pages, total = Pages(self._executor, _due), 0
        while replies := await pages.next():
            due = ((bucket, name) for bucket, reply in replies for name in map(_text, reply[1]) if ids.is_name(name))
            while part := [(keys.index(name, bucket), name) for bucket, name in islice(due, _SANDBOXES)]:
                total += await self._sweep(part)
        return total

    async def _sweep(self, targets: list[tuple[IndexKeys, str]]) -> int:
        """Have the store name ended sessions, and remove those in the next round, which names more."""
        swept, pace = 0, Pace()
        calls = [operations.sweep(index, sandbox) for index, sandbox in targets]
        replies = await self._executor.execute_all(calls)
        while replies:
            swept += sum(reply[1] for reply in replies)
            named = [(*target, reply[2]) for target, reply in zip(targets, replies, strict=True) if reply[2]]
            targets, calls = [(index, sandbox) for index, sandbox, _ in named], []
            for index, sandbox, ended in named:
                calls.append(operations.sweep(index, sandbox, ended))
                if pace.is_due():
                    await pace.give_way()
            replies = await self._executor.execute_all(calls, most=_REMOVALS)
        return swept


def _due(bucket: int, limit: int, after: Cursor) -> Call:
    return operations.due(keys.sandboxes(bucket), limit, after)


def _text(name: bytes) -> str:
    return name.decode("ascii", "replace")
