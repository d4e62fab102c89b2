"""Faults of several servers. Where somebody else has to take over, a fault returns when it has struck."""

from __future__ import annotations

import asyncio
import signal

from chuk_sessions import keys
from chuk_sessions.backends.redis.slots import slot_of
from tests.farm import ClusterFarm, Member, SentinelFarm, wait_for

from .load import Load
from .stages import Stage


async def primary_killed(stage: Stage, load: Load, seconds: float) -> None:
    """kill -9 of the primary that sentinels watch."""
    (await asyncio.to_thread(stage.sentinels.primary)).server.kill()


async def primary_cut_off(stage: Stage, load: Load, seconds: float) -> None:
    """The primary has acknowledged for a while what its replicas could not hear, and is killed."""
    farm = stage.sentinels
    primary = await asyncio.to_thread(farm.primary)
    replicas = [member for member in farm.members if member is not primary]
    for member in replicas:
        member.server.signal(signal.SIGSTOP)
    await asyncio.to_thread(primary.command, "CLIENT", "KILL", "TYPE", "replica")
    await asyncio.sleep(0.3)
    primary.server.kill()
    for member in replicas:
        member.server.signal(signal.SIGCONT)


async def primary_stopped(stage: Stage, load: Load, seconds: float) -> None:
    """The primary stands still until another has taken its place, and then goes on as if nothing had been."""
    farm = stage.sentinels
    primary = await asyncio.to_thread(farm.primary)
    primary.server.signal(signal.SIGSTOP)
    await asyncio.to_thread(wait_for, lambda: _named_by_most(farm) is not primary, "another primary")
    primary.server.signal(signal.SIGCONT)


def _named_by_most(farm: SentinelFarm) -> Member:
    named = [farm.named(sentinel) for sentinel in farm.sentinels]
    return max(farm.members, key=lambda member: sum(member is other for other in named))


async def node_killed(stage: Stage, load: Load, seconds: float) -> None:
    """kill -9 of a cluster's primary that has a session of the load."""
    (await asyncio.to_thread(stage.cluster.owner, _slots(load)[0])).server.kill()


async def slots_move(stage: Stage, load: Load, seconds: float) -> None:
    """The slots of the load's sessions go from node to node, again and again."""
    loop, farm = asyncio.get_running_loop(), stage.cluster
    end = loop.time() + seconds
    while loop.time() < end:
        for slot in _slots(load):
            await asyncio.to_thread(_move_on, farm, slot)


def _move_on(farm: ClusterFarm, slot: int) -> None:
    owners, source = farm.owners(), farm.owner(slot)
    farm.move(slot, owners[(owners.index(source) + 1) % len(owners)], batch=2)


def _slots(load: Load) -> list[int]:
    accounts = [seat.account for seat in load.seats if seat.account is not None]
    return [slot_of(keys.place("faults", account.session_id).record) for account in accounts]
