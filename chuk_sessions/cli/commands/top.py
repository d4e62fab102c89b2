"""`top`: a live view of a sandbox."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from ... import Health
from ...models import iso_from_ms
from ..app import command
from ..context import Context
from ..following import events_of

_NEWEST = 10


@dataclass
class _Tally:
    """The events since the last refresh, and the newest sessions."""

    counts: Counter[str] = field(default_factory=Counter)
    newest: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_NEWEST))

    def add(self, event: Any) -> None:
        """Count an event. A login or rotation is not a new session."""
        kind = event.type.removeprefix("session.")
        self.counts[f"ended ({event.reason})" if event.reason else kind] += 1
        if kind in ("created", "logged_in"):
            self.newest.appendleft(
                {"reference": event.session_hash, "user": event.user_id, "created_at": iso_from_ms(event.occurred_at)}
            )


@command("top")
async def top(
    context: Context,
    interval: Annotated[float, typer.Option(metavar="S", min=0.1, help="Refresh every S seconds.")] = 2,
    count: Annotated[int | None, typer.Option(metavar="N", min=1, help="End after N refreshes.")] = None,
) -> None:
    """Show live sessions, their rates, and the newest ones, until Ctrl-C.

    Rates and newest sessions come from events, so only managers with events appear in them. With --json, each refresh
    is one object.
    """
    async with context.manager() as manager, events_of(context, manager.sandbox_id) as events:
        tally = _Tally()
        following = asyncio.create_task(_follow(events, tally))
        try:
            with _screen(context) as screen:
                await _refresh(context, manager, tally, screen, interval=interval, count=count, following=following)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _follow(events: Any, tally: _Tally) -> None:
    async for event in events:
        tally.add(event)


async def _refresh(
    context: Context, manager: Any, tally: _Tally, screen: Any, *, interval: float, count: int | None, following: Any
) -> None:
    shown, last, before = 0, time.monotonic(), await manager.count_sessions()
    while count is None or shown < count:
        await asyncio.sleep(interval)
        if following.done():
            following.result()
        live, health = await manager.count_sessions(), await manager.ping()
        now = time.monotonic()
        elapsed, last = now - last, now
        rates = {kind: round(number / elapsed, 2) for kind, number in sorted(tally.counts.items())}
        tally.counts.clear()
        fields = _fields(manager.sandbox_id, live, round((live - before) / elapsed, 2), rates, health)
        before = live
        _show(context, screen, fields, list(tally.newest))
        shown += 1


def _fields(sandbox: str, live: int, change: float, rates: dict[str, float], health: Health) -> dict[str, Any]:
    return {
        "sandbox": sandbox,
        "live_sessions": live,
        "change_per_second": change,
        "events_per_second": rates,
        "server": f"{health.server or 'unknown'} {health.version or ''}".strip(),
        "latency_ms": round(health.latency_ms, 2),
        "problems": list(health.problems),
    }


def _screen(context: Context) -> Any:
    """Return the part of the terminal that is redrawn, or nothing if stdout is not a terminal."""
    if context.output.json or not context.output.is_terminal:
        return nullcontext()
    from rich.live import Live  # noqa: PLC0415

    return Live(auto_refresh=False, transient=False)


def _show(context: Context, screen: Any, fields: dict[str, Any], newest: list[dict[str, Any]]) -> None:
    if context.output.json:
        context.output.line("", {**fields, "newest": newest})
        return
    rates = {f"{kind} per second": rate for kind, rate in fields.pop("events_per_second").items()}
    parts = context.output.tables({**fields, **rates}, ("reference", "user", "created_at"), newest)
    if screen is None:
        context.output.show(parts)
    else:
        screen.update(parts, refresh=True)
