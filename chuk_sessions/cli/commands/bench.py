"""`bench`: a small load, which shows how fast a store is from here."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Annotated, Any

import typer

from ... import SessionError, SessionManager
from ..app import command
from ..context import Context

_TTL_HOURS = 0.25
"""Lifetime of the sessions, in case the command is killed."""

_CONCURRENT_DELETIONS = 256


@command("bench")
async def bench(
    context: Context,
    seconds: Annotated[float, typer.Option(metavar="S", min=0.05, help="Seconds for each operation.")] = 1,
    callers: Annotated[int, typer.Option(metavar="N", min=1, help="Concurrent callers.")] = 50,
) -> None:
    """Measure calls per second and latency of four operations, in a sandbox of its own, which is then emptied."""
    sandbox = f"bench-{secrets.token_hex(6)}"
    async with SessionManager(sandbox, context.factory(), default_ttl_hours=_TTL_HOURS) as manager:
        created: list[str] = []
        context.so_far = lambda: (
            f"the sandbox {sandbox} may still have {len(created)} sessions, which expire within 15 minutes"
            if created
            else "the sandbox of the measurement is empty"
        )
        try:
            await manager.ping()
            rows = await _measured(context, manager, created, seconds, callers)
        finally:
            await _empty(manager, created)
    context.output.rows(("operation", "calls_per_second", "p50_ms", "p99_ms", "calls"), rows)


async def _measured(
    context: Context, manager: SessionManager, created: list[str], seconds: float, callers: int
) -> list[dict[str, Any]]:
    async def allocate() -> None:
        created.append(await manager.allocate_session(user_id=secrets.token_hex(4), custom_metadata={"n": 1}))

    await allocate()  # opens the connection, and loads the script
    ids = cycle(created)
    operations: dict[str, Callable[[], Awaitable[object]]] = {
        "allocate": allocate,
        "validate": lambda: manager.validate_session(next(ids)),
        "read": lambda: manager.get_session_info(next(ids)),
        "merge": lambda: manager.update_session_metadata(next(ids), {"n": 2}),
    }
    rows = []
    with context.progress("operations", len(operations)) as progress:
        for name, call in operations.items():
            if name != "allocate":
                await call()
            rows.append({"operation": name, **await _load(call, seconds, callers)})
            progress.advance()
    return rows


async def _load(call: Callable[[], Awaitable[object]], seconds: float, callers: int) -> dict[str, Any]:
    """Call from concurrent tasks for some time. Returns the rate and percentiles of the latency."""
    clock, times = time.perf_counter, []
    begun_at = clock()
    ends_at = begun_at + seconds

    async def caller() -> None:
        before = clock()
        while before < ends_at:
            await call()
            after = clock()
            times.append(after - before)
            before = after

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(caller())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    elapsed = clock() - begun_at
    times.sort()
    return {
        "calls_per_second": round(len(times) / elapsed),
        "p50_ms": round(1000 * times[len(times) // 2], 3),
        "p99_ms": round(1000 * times[len(times) * 99 // 100], 3),
        "calls": len(times),
        "callers": callers,
    }


async def _empty(manager: SessionManager, created: list[str]) -> None:
    """Delete the sessions. A store that cannot be reached keeps the rest until they expire."""
    while created:
        part, created[:] = created[-_CONCURRENT_DELETIONS:], created[:-_CONCURRENT_DELETIONS]
        try:
            await asyncio.gather(*map(manager.delete_session, part))
        except SessionError:
            created += part
            return
