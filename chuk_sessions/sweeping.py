"""Sweeps: ended sessions are taken out of the indexes, of one sandbox or of all."""

from __future__ import annotations

from itertools import islice

from . import ids, keys, operations
from .backends.base import Call
from .keys import Index
from .operations import Cursor
from .paging import Pages
from .runner import Runner

_SANDBOXES = 256
"""Sandboxes that are swept side by side."""


class Sweeper:
    """Clears indexes of ended sessions."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._sandbox = runner.sandbox_id

    async def sweep(self) -> int:
        """Sweep the runner's sandbox. Returns how many sessions left the indexes."""
        return await self._sweep([(keys.index(self._sandbox, bucket), self._sandbox) for bucket in range(ids.BUCKETS)])

    async def sweep_everything(self) -> int:
        """Sweep every sandbox that has ended sessions. Returns how many left the indexes."""
        pages, total = Pages(self._runner, _due), 0
        while replies := await pages.next():
            due = ((bucket, name) for bucket, reply in replies for name in map(_text, reply[1]) if ids.is_name(name))
            while part := [(keys.index(name, bucket), name) for bucket, name in islice(due, _SANDBOXES)]:
                total += await self._sweep(part)
        return total

    async def _sweep(self, places: list[tuple[Index, str]]) -> int:
        swept = 0
        while places:
            replies = await self._runner.run_all([operations.sweep(index, sandbox) for index, sandbox in places])
            swept += sum(reply[1] for reply in replies)
            full = [reply[1] == operations.SWEEP_LIMIT for reply in replies]
            places = [place for place, more in zip(places, full, strict=True) if more]
        return swept


def _due(bucket: int, limit: int, after: Cursor) -> Call:
    return operations.due(keys.sandboxes(bucket), limit, after)


def _text(name: bytes) -> str:
    return name.decode("ascii", "replace")
