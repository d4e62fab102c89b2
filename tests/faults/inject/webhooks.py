"""Faults of webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.faults.environments import Environment
from tests.faults.load.counts import Counts
from tests.faults.load.load import Load
from tests.faults.load.webhooks import PATIENCE, Webhooks, runs
from tests.redis.tools import until

from .server import CLOCK_KEY

HOUR_MS = 3_600_000
MOVES_MS = (6_000, 400_000, 2_500_000, HOUR_MS - 1)
"""How far the clock is ahead while the endpoint is down. A retry is due after each move."""


async def kill_relay(environment: Environment, load: Load, seconds: float) -> None:
    """Kill one of two relays (kill -9) while it delivers."""
    run = runs[-1]
    await until(lambda: len(run.accepted) >= 10, PATIENCE)
    run.relays[0].process.kill()
    await asyncio.sleep(seconds / 2)


async def keep_endpoint_down(environment: Environment, load: Load, seconds: float) -> None:
    """Refuse all messages for an hour of the server's clock, and then accept them."""
    run = runs[-1]
    run.is_down = True
    for ahead in (0, *MOVES_MS):
        _move_clock(environment, ahead)
        await until(_was_refused_since(run, run.refused), PATIENCE)
        await asyncio.sleep(seconds / 8)
    run.is_down = False
    _move_clock(environment, 4 * HOUR_MS)


def _was_refused_since(run: Webhooks, refused: int) -> Callable[[], bool]:
    return lambda: run.refused > refused


def _move_clock(environment: Environment, ahead_ms: int) -> None:
    with environment.server.client() as client:
        client.set(CLOCK_KEY, ahead_ms)


def relay_was_killed(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether a relay was killed after it had delivered messages."""
    return bool(runs) and runs[-1].relays[0].process.poll() is not None


def messages_were_refused(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether the endpoint was down for messages, which it has accepted later."""
    return bool(runs) and runs[-1].refused > len(MOVES_MS)
