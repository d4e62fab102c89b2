"""Sweeps: removal of expired sessions, of one sandbox or of all, each record together with its index entries.

Old notes about strays are removed afterwards.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice

from .. import exceptions as errors
from ..core import expired, ids, index_operations, keys
from ..core.index_operations import Cursor
from ..core.keys import IndexKeys
from ..core.operation import Call
from .executor import Executor
from .paging import Pages
from .strays import StrayNotes
from .time_slice import TimeSlice

_CONCURRENT_SANDBOXES = 256
"""Sandboxes that are swept concurrently, over all buckets."""

_CONCURRENT_REMOVALS = 16
"""Concurrent calls that remove sessions: each removes up to hundreds."""


class Sweeper:
    """Removes expired sessions, and notes about strays that are gone."""

    def __init__(self, executor: Executor, notes: StrayNotes) -> None:
        self._executor = executor
        self._notes = notes
        self._sandbox = executor.sandbox_id

    async def sweep(self) -> int:
        """Sweep the executor's sandbox. Returns how many sessions were removed."""
        buckets = [(keys.index(self._sandbox, bucket), self._sandbox) for bucket in range(ids.BUCKETS)]
        swept = await self._sweep(buckets)
        with suppress(errors.NotSupportedError):  # without an index, there are no notes
            await self._notes.clean(all_sandboxes=False)
        return swept

    async def sweep_everything(self) -> int:
        """Sweep every sandbox that has expired sessions. Returns how many were removed."""
        pages, total = Pages(self._executor, _due), 0
        while replies := await pages.next():
            due = ((bucket, name) for bucket, reply in replies for name in map(_text, reply[1]) if ids.is_name(name))
            while part := [(keys.index(name, bucket), name) for bucket, name in islice(due, _CONCURRENT_SANDBOXES)]:
                total += await self._sweep(part)
        await self._notes.clean(all_sandboxes=True)
        return total

    async def _sweep(self, targets: list[tuple[IndexKeys, str]]) -> int:
        """Sweep in rounds: each removes the expired sessions that the one before listed, and lists more."""
        swept, time_slice = 0, TimeSlice()
        calls = [index_operations.sweep(index, sandbox) for index, sandbox in targets]
        replies = await self._executor.execute_all(calls)
        while replies:
            swept += sum(reply[1] for reply in replies)
            listed = zip(targets, map(expired.listed, replies), strict=True)
            found = [(target, ended) for target, ended in listed if ended]
            targets, calls = [target for target, _ in found], []
            for (index, sandbox), ended in found:
                calls.append(expired.removal(index, sandbox, ended))
                if time_slice.is_over():
                    await time_slice.renew()
            replies = await self._executor.execute_all(calls, concurrency=_CONCURRENT_REMOVALS)
        return swept


def _due(bucket: int, limit: int, after: Cursor) -> Call:
    return index_operations.due(keys.sandboxes(bucket), limit, after)


def _text(name: bytes) -> str:
    return name.decode("ascii", "replace")
