"""The judge: counts the damage after a fault, and says where it exceeds what is promised."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from chuk_sessions import SessionManager, session_hash
from chuk_sessions.backends.redis import RedisBackend
from tests.faults.load.attempts import TimedBackend
from tests.faults.load.counts import Counts
from tests.faults.load.ledger import Account
from tests.faults.load.load import Load, manager_on

CALM_TIMEOUT = 20.0
_AT_ONCE = 200


async def count(load: Load, url: str, seconds: float) -> Counts:
    """Return the counts of a load that has stopped. The store at that URL must work again."""
    ledger, errors = load.ledger, load.ledger.errors
    backend = RedisBackend(url, call_timeout=CALM_TIMEOUT)
    async with manager_on(backend, TimedBackend(backend, CALM_TIMEOUT)) as manager:
        counts = await _compare(ledger.accounts, manager)
        counts.revived = ledger.revived + await _alive(ledger.invalid_ids, manager)
    counts.calls, counts.writes, counts.late, counts.seconds = load.calls, ledger.writes, load.late, seconds
    counts.unknown, counts.unavailable = errors["unknown"], errors["unavailable"]
    counts.full, counts.other = errors["full"], errors["other"]
    counts.crossed += ledger.crossed
    counts.lost += ledger.missing
    counts.missing += ledger.missing
    return sum(load.others, counts)


async def _compare(accounts: Sequence[Account], manager: SessionManager) -> Counts:
    found = await _all(manager.get_session_metadata(account.session_id) for account in accounts)
    listed = set(await manager.list_sessions(1_000_000))
    total = Counts()
    for account, session in zip(accounts, found, strict=True):
        total.lost += account.lost(session)
        total.twice += account.excess(session)
        total.missing += session is None
        if session is not None:
            total.crossed += session.custom_metadata.get("marker") != account.marker
            total.unindexed += session_hash(account.session_id) not in listed
    return total


async def _alive(session_ids: Sequence[str], manager: SessionManager) -> int:
    return sum(await _all(manager.validate_session(session_id) for session_id in session_ids))


async def _all(calls: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    waiting, results = list(calls), []
    while waiting:
        now, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
        results += await asyncio.gather(*now)
    return results


def broken_promises(counts: Counts, *, keeps_writes: bool, keeps_lifecycle: bool, errors: frozenset[str]) -> list[str]:
    """Return the counts that should be 0, each as `name: count`.

    `keeps_writes`: all acknowledged writes must be stored. `keeps_lifecycle`: at least creation, rotation and deletion
    must be. `errors`: the kinds of errors that calls may raise.
    """
    never = ["twice", "crossed", "unindexed", "late", "other", "stale", *(["lost"] if keeps_writes else [])]
    never += ["revived", "missing"] if keeps_writes or keeps_lifecycle else []
    never += [kind for kind in ("unknown", "unavailable", "full") if kind not in errors]
    return [f"{name}: {getattr(counts, name)}" for name in never if getattr(counts, name)]


__all__ = ["Counts", "broken_promises", "count"]
