"""Faults between client and server, and in the client itself."""

from __future__ import annotations

import asyncio
import time

import redis

from tests.farm import wait_for

from .load import Load
from .stages import Stage

DELAY_S = 0.02
BLOCKED_S = 2.0


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


async def the_name_moves(stage: Stage, load: Load, seconds: float) -> None:
    """The primary is demoted and cut off from its successor, which has all that was acknowledged. Their name moves, and
    connections that are open stay where they are.
    """
    with stage.server.client() as old, stage.successor.client() as new:
        old.execute_command("CLIENT", "PAUSE", 10_000, "WRITE")
        await asyncio.to_thread(wait_for, lambda: _offset(old) == _offset(new), "what was acknowledged on the replica")
        new.replicaof("NO", "ONE")
        stage.proxy.behind = stage.successor.port
        old.replicaof("127.0.0.1", 1)
        old.client_unpause()


def _offset(client: redis.Redis) -> int:
    replication = client.info("replication")
    return int(replication["master_repl_offset" if replication["role"] == "master" else "slave_repl_offset"])


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
