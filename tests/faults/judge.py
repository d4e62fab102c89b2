"""Counts, when a fault is over, what it has cost; and says where that is more than was promised."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import RedisBackend
from tests.faults.load.attempts import Timed
from tests.faults.load.counts import Counts
from tests.faults.load.ledger import Account
from tests.faults.load.load import Load, manager_on

CALM_TIMEOUT = 20.0
_AT_ONCE = 200


async def count(load: Load, url: str, seconds: float) -> Counts:
    """The counts of a load that has ended, on the store at that URL, which works again."""
    ledger, errors = load.ledger, load.ledger.errors
    backend = RedisBackend(url, call_timeout=CALM_TIMEOUT)
    async with manager_on(backend, Timed(backend, CALM_TIMEOUT)) as manager:
        kept = await _kept(ledger.accounts, manager)
        revived = ledger.revived + await _alive(ledger.dead, manager)
    kept.calls, kept.writes, kept.late, kept.revived, kept.seconds = (
        load.calls,
        ledger.writes,
        load.late,
        revived,
        seconds,
    )
    kept.unknown, kept.unavailable = errors["unknown"], errors["unavailable"]
    kept.full, kept.other = errors["full"], errors["other"]
    kept.crossed += ledger.crossed
    kept.lost += ledger.missing
    kept.missing += ledger.missing
    return sum(load.others, kept)


async def _kept(accounts: Sequence[Account], manager: SessionManager) -> Counts:
    found = await _all(manager.get_session_metadata(account.session_id) for account in accounts)
    listed = set(await manager.list_sessions(1_000_000))
    total = Counts()
    for account, session in zip(accounts, found, strict=True):
        total.lost += account.lost(session)
        total.twice += account.excess(session)
        total.missing += session is None
        if session is not None:
            total.crossed += session.custom_metadata.get("marker") != account.marker
            total.unindexed += account.session_id not in listed
    return total


async def _alive(dead: Sequence[str], manager: SessionManager) -> int:
    return sum(await _all(manager.validate_session(session_id) for session_id in dead))


async def _all(calls: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    waiting, answers = list(calls), []
    while waiting:
        now, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
        answers += await asyncio.gather(*now)
    return answers


def broken(counts: Counts, *, keeps: bool, ends: bool, errors: frozenset[str]) -> list[str]:
    """Which promises were broken: `keeps`, that what was acknowledged is there, `ends`, that
    this holds for the begin and the end of sessions; `errors`, that only such are raised."""
    never = ["twice", "crossed", "unindexed", "late", "other", *(["lost"] if keeps else [])]
    never += ["revived", "missing"] if keeps or ends else []
    never += [kind for kind in ("unknown", "unavailable", "full") if kind not in errors]
    return [f"{name}: {getattr(counts, name)}" for name in never if getattr(counts, name)]


__all__ = ["Counts", "broken", "count"]
