"""Sweeps: removal of expired sessions, of one sandbox or of all, each record together with its index entries.

Old notes about strays are removed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice

from .. import exceptions as errors
from ..core import expired, ids, index_operations, keys
from ..core.expired import Expired
from ..core.index_operations import Cursor
from ..core.keys import IndexKeys
from ..core.operation import Call, Reply
from .executor import Executor
from .paging import Pages
from .strays import StrayNotes
from .time_slice import TimeSlice

_CONCURRENT_SANDBOXES = 256
"""Sandboxes that are swept concurrently, over all buckets."""

_CONCURRENT_REMOVALS = 16
"""Concurrent calls that remove sessions: each removes up to hundreds."""

_Target = tuple[IndexKeys, str]
"""A sandbox in one bucket: its index and its name."""


class Sweeper:
    """Removes expired sessions, and notes about strays that are gone."""

    def __init__(self, executor: Executor, notes: StrayNotes) -> None:
        self._executor = executor
        self._notes = notes
        self._sandbox = executor.sandbox_id

    async def sweep(self) -> int:
        """Sweep the executor's sandbox. Returns how many sessions were removed."""
        swept = await self._sweep([_target(bucket, self._sandbox) for bucket in range(ids.BUCKETS)])
        with suppress(errors.NotSupportedError):  # without an index, there are no notes
            await self._notes.clean(all_sandboxes=False)
        return swept

    async def sweep_everything(self) -> int:
        """Sweep every sandbox that has expired sessions. Returns how many were removed."""
        total = await self.sweep_due(range(ids.BUCKETS))
        await self._notes.clean(all_sandboxes=True)
        return total

    async def sweep_due(self, buckets: Iterable[int], sandbox_id: str | None = None) -> int:
        """Sweep every sandbox, or only the one given, that has expired sessions in some buckets.

        Returns how many were removed.
        """
        pages, total = Pages(self._executor, _due, buckets=buckets), 0
        while replies := await pages.next():
            names = ((bucket, name) for bucket, reply in replies for name in map(_text, reply[1]) if ids.is_name(name))
            due = (found for found in names if sandbox_id in (None, found[1]))
            while part := [_target(*sandbox) for sandbox in islice(due, _CONCURRENT_SANDBOXES)]:
                total += await self._sweep(part)
        return total

    async def _sweep(self, targets: Sequence[_Target]) -> int:
        """List the expired sessions of all targets, then remove them, a group of targets after the other.

        Only the calls of one group exist at the same time: building or freeing those of all targets would hold the
        event loop. Each call also lists the sessions for its target's next call.
        """
        replies = await self._executor.execute_all([index_operations.sweep(*target) for target in targets])
        swept, unswept, time_slice = 0, _unswept(targets, replies), TimeSlice()
        while unswept:
            group, unswept = unswept[:_CONCURRENT_REMOVALS], unswept[_CONCURRENT_REMOVALS:]
            calls = []
            for (index, sandbox), ended in group:
                calls.append(expired.removal(index, sandbox, ended))
                if time_slice.is_over():
                    await time_slice.renew()
            replies = await self._executor.execute_all(calls)
            swept += sum(reply[1] for reply in replies)
            unswept += _unswept([target for target, _ in group], replies)
        return swept


def _target(bucket: int, sandbox: str) -> _Target:
    return keys.index(sandbox, bucket), sandbox


def _unswept(targets: Iterable[_Target], replies: Sequence[Reply]) -> list[tuple[_Target, Expired]]:
    """Return the targets that have more expired sessions, with those that the replies list."""
    pairs = zip(targets, map(expired.listed, replies), strict=True)
    return [(target, ended) for target, ended in pairs if ended]


def _due(bucket: int, limit: int, after: Cursor) -> Call:
    return index_operations.due(keys.sandboxes(bucket), limit, after)


def _text(name: bytes) -> str:
    return name.decode("ascii", "replace")
