"""Writes `docs/faults.md`."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.load.ledger import SIDES
from tests.faults.load.load import LIVES, SEATS

from .matrix import Result

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
COLUMNS = ("writes", "lost", "missing", "revived", "crossed", "late", "unknown", "unavailable", "full")
HEAD = f"""# The fault matrix

Each fault strikes a store under load: {SIDES} managers with connections of their own work on the same {SEATS} sessions
(validate, read, increment and update with and without idempotency keys, extend), and {LIVES} tasks make sessions, log
them in, rotate, delete and revoke them. A ledger holds what callers were told. When the fault is over, every session is
read and every ended id validated. `make faults` does all of it and writes this page; a shorter form is part of the
tests, and both fail when a promise is broken.

Always promised, and 0 in every row: answers that belong to another session, writes applied more often than they were
called for, live sessions that listing does not find, calls that go on for more than 100 ms behind their deadline.
Where the server keeps what it has acknowledged, also: acknowledged writes that are lost, ended sessions that validate.
Errors that a row does not allow break its promise, too, and so does a fault of which no trace is found: a row that
strikes nobody proves nothing.

- **writes**: acknowledged. **lost**: of these, not there afterwards; **missing**: sessions that are not there at all;
  **revived**: ended ids that validated.
- **crossed**, **late**: see above.
- **unknown**, **unavailable**, **full**: calls that raised OutcomeUnknownError, SessionUnavailableError or
  StoreFullError.
- **seconds**: from the fault's end until each session was served again; where somebody else has to take over, from its
  begin.

Redis itself loses acknowledged writes where it does not keep them (no persistence, eviction) and where a replica takes
over that did not have them: its replication is asynchronous. Figures in brackets count that and promise nothing.
"""
TAIL = """
## What bounds the loss at a failover

`wait_replicas=N` (SESSION_REDIS_WAIT_REPLICAS), with `wait_timeout` (SESSION_REDIS_WAIT_TIMEOUT, 0.5 seconds), makes
`allocate`, `rotate` and `delete` wait until N replicas have what they wrote: one WAIT follows all scripts that are sent
together, on a connection of its own, so that other calls do not wait with them. Where fewer replicas have it in time,
that is a NotReplicatedError: the primary has applied it, and a failover may undo it. Each caller learns that within
`wait_timeout` and 0.2 seconds, however many there are, and `revoke_user_sessions` deletes everything before it raises
it. A lost reply is an OutcomeUnknownError then, since what a repeat finds done has nothing to wait for. Updates,
increments and extensions are not waited for.

{cost}
WAIT does not make a store consistent: a primary that is cut off from its sentinels goes on answering who reaches it.
Clients ask the sentinels every second, and change over when most of those that answer name another; what the old
primary was told until then is lost, and a client that reaches none but sentinels on its side stays there.
`min-replicas-to-write 1` and `min-replicas-max-lag` on the server bound that.
"""


def line(result: Result) -> str:
    """One result, for a terminal."""
    counts = result.counts
    told = [f"{name} {value}" for name, value in vars(counts).items() if value and name != "seconds"]
    verdict = f"BROKEN {result.broken} {result.odd[:3]}" if result.broken else "kept"
    return f"{result.fault.name}: {verdict}; {', '.join(told)}; {counts.seconds:.2f} s"


def write(results: Sequence[Result], cost: str) -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    date, versions = datetime.now(UTC).date(), ", ".join(sorted({result.version for result in results}))
    told = f"\nLast run: {date}, {versions}, Python {platform.python_version()}.\n"
    PAGE.write_text(HEAD + told + "\n" + _table(results) + TAIL.format(cost=cost), encoding="utf-8")


def _table(results: Sequence[Result]) -> str:
    head = ["fault", "promised", *COLUMNS, "seconds"]
    rows = [head, ["---", "---", *["--:"] * (len(COLUMNS) + 1)], *map(_row, results)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(result: Result) -> list[str]:
    counts, fault = result.counts, result.fault
    figures = [_figure(name, getattr(counts, name), result) for name in COLUMNS]
    broken = f" **Broken: {'; '.join(result.broken)}**" if result.broken else ""
    return [fault.name, fault.promised + broken, *figures, f"{counts.seconds:.2f}"]


def _figure(name: str, value: int, result: Result) -> str:
    free = not result.fault.keeps and (name == "lost" or (name in ("missing", "revived") and not result.fault.ends))
    return f"({value:,})" if free else f"{value:,}"
