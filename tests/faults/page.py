"""The page of the matrix, `docs/faults.md`, and one line of it for a terminal."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.load.ledger import SIDES
from tests.faults.load.load import CHURN_TASKS, SHARED_SESSIONS

from .matrix import Result

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
COLUMNS = ("writes", "lost", "missing", "revived", "crossed", "late", "unknown", "unavailable", "full")
HEAD = f"""# The fault matrix

The tests inject each fault of this table into a store under load, and count what goes wrong. `make faults` runs the
whole matrix and writes this page. `make test` runs it in a shorter form. Both fail if a promise is broken.

The load has two parts. In one, {SIDES} managers with their own connections share {SHARED_SESSIONS} sessions. They
validate, read and extend them, and increment and update them with and without idempotency keys. In the other,
{CHURN_TASKS} tasks create short-lived sessions, log them in, rotate them, and delete or revoke them. A ledger records
every result that callers get. After the fault, the judge compares the store with the ledger. It reads every session,
and validates every id that was deleted, revoked or rotated.

## Promises

These hold under every fault, so the table has no exceptions to them:

- No reply belongs to another session (column *crossed*).
- No write is applied more often than requested.
- Lists contain every live session.
- No call returns more than 100 ms after its deadline (column *late*).
- No call raises an error that its row does not allow.

Further processes have sessions in their local caches in the rows that say so. They are revoked at the server, and the
row fails if one of them is in a cache later than the bound allows.

If the server keeps the writes that it has acknowledged, these hold, too:

- No acknowledged write is lost (columns *lost* and *missing*).
- No deleted, revoked or rotated id validates (column *revived*).

Redis itself loses acknowledged writes in two cases: when it does not persist them (no persistence, eviction), and when
a failover promotes a replica that has not received them, because replication is asynchronous. Such losses are counted
in parentheses. They break no promise.

A row also fails if there is no evidence that its fault reached the load. A fault that nothing notices proves nothing.

## Columns

| column | counts |
| --- | --- |
| writes | acknowledged writes |
| lost | acknowledged writes that are missing afterwards |
| missing | sessions that do not exist at all afterwards |
| revived | deleted, revoked or rotated ids that validated |
| crossed | replies that belong to another session |
| late | calls that returned more than 100 ms after their deadline |
| unknown | calls that raised OutcomeUnknownError (NotReplicatedError included) |
| unavailable | calls that raised SessionUnavailableError |
| full | calls that raised StoreFullError |
| seconds | time from the end of the fault until every session was served again; at a failover, from its start |

## Results
"""
TAIL = """
## Bounding the loss at a failover

With `wait_replicas=N` (SESSION_REDIS_WAIT_REPLICAS), `allocate`, `rotate` and `delete` wait until N replicas have
received the write. `wait_timeout` (SESSION_REDIS_WAIT_TIMEOUT, 0.5 seconds by default) bounds the wait.

- Calls that are sent together share one WAIT command. They use connections of their own, so other calls do not wait.
- If too few replicas acknowledge in time, the call raises NotReplicatedError. The primary has applied the write, but a
  failover may undo it.
- Each caller gets that error within `wait_timeout` plus 0.2 seconds, however many calls wait.
- `revoke_user_sessions` deletes all sessions before it raises the error.
- If a reply is lost, the call raises OutcomeUnknownError. A retry would find the write done, and so would have nothing
  to wait for.
- Updates, increments and extensions do not wait for replicas.

{cost}
WAIT does not make a store consistent. A primary that is cut off from its sentinels keeps serving clients that can reach
it. Clients query the sentinels every second, and switch when most of those that reply name another primary. Writes that
the old primary received until then are lost. A client that reaches only sentinels on the old primary's side of the
partition stays with the old primary. To bound that loss, set `min-replicas-to-write 1` and `min-replicas-max-lag` on
the server.
"""


def line(result: Result) -> str:
    """Return one result as a line for a terminal."""
    counts = result.counts
    shown = [f"{name} {value}" for name, value in vars(counts).items() if value and name != "seconds"]
    verdict = f"BROKEN {result.broken} {result.unexpected[:3]}" if result.broken else "kept"
    return f"{result.fault.name}: {verdict}; {', '.join(shown)}; {counts.seconds:.2f} s"


def write(results: Sequence[Result], cost: str) -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    date, versions = datetime.now(UTC).date(), ", ".join(sorted({result.version for result in results}))
    run = f"\nLast run: {date}, {versions}, Python {platform.python_version()}.\n"
    PAGE.write_text(HEAD + run + "\n" + _table(results) + TAIL.format(cost=cost), encoding="utf-8")


def _table(results: Sequence[Result]) -> str:
    head = ["fault", "promise", *COLUMNS, "seconds"]
    rows = [head, ["---", "---", *["--:"] * (len(COLUMNS) + 1)], *map(_row, results)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(result: Result) -> list[str]:
    counts, fault = result.counts, result.fault
    figures = [_figure(name, getattr(counts, name), result) for name in COLUMNS]
    broken = f" **Broken: {'; '.join(result.broken)}**" if result.broken else ""
    if counts.revoked:
        broken = f" ({counts.stale} of {counts.revoked} were later){broken}"
    return [fault.name, fault.promised + broken, *figures, f"{counts.seconds:.2f}"]


def _figure(name: str, value: int, result: Result) -> str:
    """Return the count, in parentheses where the row promises nothing about it."""
    fault = result.fault
    lifecycle = name in ("missing", "revived") and not fault.keeps_lifecycle
    unpromised = not fault.keeps_writes and (name == "lost" or lifecycle)
    return f"({value:,})" if unpromised else f"{value:,}"
