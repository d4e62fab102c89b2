"""The check of sweeps: whether expired sessions leave the indexes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from ..core import ids, keys
from ..core.inspection import RefusedError, UnansweredError
from .case import Case
from .finding import Finding, ok, problem, unknown, warning
from .rights import TRIAL_SANDBOX

NAME = "sweep"
_LATE, _VERY_LATE = 900, 86_400
"""Seconds after which an expired session should have left the indexes."""
_COUNTED = 20
"""Sandboxes of a bucket whose expired sessions are counted."""


class _Overdue(NamedTuple):
    """The expired sessions of a bucket: seconds since the first one expired, and how many there are at least."""

    seconds: float
    number: int


async def sweep(case: Case) -> AsyncIterator[Finding]:
    """Check that a sweep removes expired sessions from the indexes."""
    found = await asyncio.gather(*(_overdue(case, bucket) for bucket in range(ids.BUCKETS)), return_exceptions=True)
    failures = [failure for failure in found if isinstance(failure, BaseException)]
    for failure in failures:
        if not isinstance(failure, RefusedError | UnansweredError):
            raise failure
    if failures:
        yield unknown(
            f"{len(failures)} of {ids.BUCKETS} buckets cannot be read: {failures[0]}",
            "Add +@read ~chuk1:* to the rights of this user, or run the doctor again when all primaries answer.",
        ).on(NAME)
    overdue = [each for each in found if isinstance(each, _Overdue)]
    oldest = max((each.seconds for each in overdue), default=0.0)
    number = sum(each.number for each in overdue)
    if oldest > _LATE:
        yield (problem if oldest > _VERY_LATE else warning)(
            f"{number:,} or more expired sessions are still in the indexes, the first for {_span(oldest)}: no sweep "
            "runs. They are invalid, but they take memory, slow down lists and caps, and with events, their ends are "
            "not reported",
            "Run a sweep every few minutes in one process: `chuk-sessions sweep`, `chuk-sessions relay`, or "
            "`await manager.cleanup_expired_sessions(all_sandboxes=True)`. A reader of events sweeps, too.",
        ).on(NAME)
    elif not failures:
        waiting = f"{number:,} expired sessions wait for the next sweep, the first for {_span(oldest)}"
        yield ok(waiting if number else "no expired session waits for a sweep").on(NAME)


async def _overdue(case: Case, bucket: int) -> _Overdue | None:
    index = keys.sandboxes(bucket)
    server = case.inspection.holder(index)
    facts = next((facts for facts in case.primaries if facts.server is server), None)
    if server is None or facts is None or facts.failure:
        raise UnansweredError("its primary does not answer")
    now = int(1000 * facts.now())
    if case.sandbox_id is None:
        reply = await server.query("ZRANGEBYSCORE", index, "-inf", now, "LIMIT", 0, _COUNTED)
        due = [name for name in (each.decode("ascii", "replace") for each in reply) if _is_examined(name)]
    else:
        due = [case.sandbox_id]
    indexes = [keys.index(name, bucket).deadlines for name in due]
    counts = await asyncio.gather(*(server.query("ZCOUNT", index, "-inf", now) for index in indexes))
    # The entry in the index of sandboxes may be too early, so it does not tell for how long a sweep is overdue.
    firsts = await asyncio.gather(*(server.query("ZRANGE", index, 0, 0, "WITHSCORES") for index in indexes))
    scores = [float(first[1]) for first, count in zip(firsts, counts, strict=True) if count and first]
    return _Overdue((now - min(scores)) / 1000, sum(counts)) if scores else None


def _is_examined(name: str) -> bool:
    return ids.is_name(name) and name != TRIAL_SANDBOX


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
