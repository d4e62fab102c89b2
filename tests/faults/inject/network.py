"""Faults between client and server, and in the client itself."""

from __future__ import annotations

import asyncio
import time

from tests.faults.environments import Stage
from tests.faults.load.load import Load

DELAY_S = 0.02
BLOCKED_S = 2.0
IDLE_S = 1.5
"""For so long nothing is sent before connections are dropped: longer than an idle connection is trusted."""


async def slow_and_in_pieces(stage: Stage, load: Load, seconds: float) -> None:
    """Replies are late by 20 ms, and all goes seven bytes at a time."""
    stage.proxy.delay, stage.proxy.fragment = DELAY_S, 7
    await asyncio.sleep(seconds)
    stage.proxy.delay, stage.proxy.fragment = 0.0, 0


async def replies_get_lost(stage: Stage, load: Load, seconds: float) -> None:
    """Twenty times a second what was asked is done and the connection is cut before the reply; each fifth time it stays
    open and mute.
    """
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        number += 1
        stage.proxy.lose_replies(1, cut=number % 5 > 0)
        await asyncio.sleep(0.05)
    stage.proxy.lose_replies(0)
    stage.proxy.cut()


async def dropped_while_idle(stage: Stage, load: Load, seconds: float) -> None:
    """Connections that have carried nothing for a while carry nothing any more, and do not close."""
    await load.pause(IDLE_S)
    stage.proxy.drop()
    load.resumed.set()


async def callers_cancel(stage: Stage, load: Load, seconds: float) -> None:
    """Half of all calls are cancelled: before they are sent, on their way, or when the reply is there."""
    load.attempts.cancelling = 0.5
    await asyncio.sleep(seconds)
    load.attempts.cancelling = 0.0


async def the_loop_is_blocked(stage: Stage, load: Load, seconds: float) -> None:
    """The event loop stands still for longer than a call may take."""
    for _ in range(max(1, int(seconds / 3))):
        time.sleep(BLOCKED_S)  # noqa: ASYNC251  (that is the fault)
        await asyncio.sleep(0.2)
