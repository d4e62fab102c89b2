"""Faults of the network between client and server, and of the client itself."""

from __future__ import annotations

import asyncio
import time

from tests.faults.environments import Environment
from tests.faults.load.load import Load

DELAY_S = 0.02
BLOCKED_S = 2.0
IDLE_S = 1.5
"""Seconds without calls before connections are dropped: longer than the client trusts an idle connection."""


async def delay_and_fragment(environment: Environment, load: Load, seconds: float) -> None:
    """Delay replies by 20 ms, and forward seven bytes at a time."""
    environment.proxy.delay, environment.proxy.fragment = DELAY_S, 7
    await asyncio.sleep(seconds)
    environment.proxy.delay, environment.proxy.fragment = 0.0, 0


async def lose_replies(environment: Environment, load: Load, seconds: float) -> None:
    """Let the server execute a request, and discard its reply, 20 times a second. Most connections are then cut; every
    fifth stays open without a reply.
    """
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        number += 1
        environment.proxy.lose_replies(1, cut=number % 5 > 0)
        await asyncio.sleep(0.05)
    environment.proxy.lose_replies(0)
    environment.proxy.cut()


async def drop_idle_connections(environment: Environment, load: Load, seconds: float) -> None:
    """Stop forwarding on idle connections without closing them."""
    await load.pause(IDLE_S)
    environment.proxy.drop()
    load.resumed.set()


async def cancel_calls(environment: Environment, load: Load, seconds: float) -> None:
    """Cancel half of all calls: before they are sent, in flight, or when the reply has arrived."""
    load.attempts.canceling = 0.5
    await asyncio.sleep(seconds)
    load.attempts.canceling = 0.0


async def block_event_loop(environment: Environment, load: Load, seconds: float) -> None:
    """Block the event loop for longer than a call may take."""
    for _ in range(max(1, int(seconds / 3))):
        time.sleep(BLOCKED_S)  # noqa: ASYNC251  (the fault itself)
        await asyncio.sleep(0.2)
