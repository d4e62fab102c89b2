"""Counts, when a fault is over, what it has cost; and says where that is more than was promised."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import RedisBackend

from .attempts import Timed
from .ledger import Account
from .load import Load, manager_on

CALM_TIMEOUT = 20.0
_AT_ONCE = 200


@dataclass
class Counts:
    """What was counted.

    Attributes:
        calls: sent to the store.
        writes: acknowledged.
        lost: acknowledged writes that are not there, and sessions that were said not to be there and are.
        twice: writes that are there more often than they were called for.
        revived: validations of ended sessions that said they are alive.
        crossed: answers with the marker or the counter of another session.
        unindexed: live sessions that listing does not find.
        late: calls that went on behind their deadline and the slack.
        unknown: calls that ended with OutcomeUnknownError.
        unavailable: with SessionUnavailableError, those for time included.
        full: with StoreFullError.
        other: with any other error.
        seconds: from the fault's end (or, where it does not end, its begin) until all sessions were served again.

    """

    calls: int = 0
    writes: int = 0
    lost: int = 0
    twice: int = 0
    revived: int = 0
    crossed: int = 0
    unindexed: int = 0
    late: int = 0
    unknown: int = 0
    unavailable: int = 0
    full: int = 0
    other: int = 0
    seconds: float = 0.0

    def __add__(self, other: Self) -> Self:
        """Both together; the longer of the seconds."""
        names = [field.name for field in fields(self) if field.name != "seconds"]
        total = type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})
        total.seconds = max(self.seconds, other.seconds)
        return total


async def count(load: Load, url: str, seconds: float) -> Counts:
    """The counts of a load that has ended, on the store at that URL, which works again."""
    ledger, errors = load.ledger, load.ledger.errors
    backend = RedisBackend(url, call_timeout=CALM_TIMEOUT)
    async with manager_on(backend, Timed(backend, CALM_TIMEOUT)) as manager:
        kept = await _kept(ledger.accounts, manager)
        revived = ledger.revived + await _alive(ledger.dead, manager)
    return Counts(
        load.calls, ledger.writes, kept.lost + ledger.missing, kept.twice, revived, ledger.crossed + kept.crossed,
        kept.unindexed, load.late, errors["unknown"], errors["unavailable"], errors["full"], errors["other"], seconds,
    )  # fmt: skip


async def _kept(accounts: Sequence[Account], manager: SessionManager) -> Counts:
    found = await _all(manager.get_session_metadata(account.session_id) for account in accounts)
    listed = set(await manager.list_sessions(1_000_000))
    total = Counts()
    for account, session in zip(accounts, found, strict=True):
        total.lost += account.lost(session)
        total.twice += account.excess(session)
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


def broken(counts: Counts, *, keeps: bool, errors: frozenset[str]) -> list[str]:
    """Which promises were broken: `keeps`, that what was acknowledged is there; `errors`, that only such are raised."""
    never = ["twice", "crossed", "unindexed", "late", "other", *(["lost", "revived"] if keeps else [])]
    never += [kind for kind in ("unknown", "unavailable", "full") if kind not in errors]
    return [f"{name}: {getattr(counts, name)}" for name in never if getattr(counts, name)]


__all__ = ["Counts", "broken", "count"]
