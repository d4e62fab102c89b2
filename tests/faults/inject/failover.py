"""Faults of several servers. Where somebody else has to take over, a fault returns when it has struck."""

from __future__ import annotations

import asyncio
import signal

from chuk_sessions.backends.redis.topology.slots import slot_of
from chuk_sessions.core import keys
from tests.faults.environments import Stage
from tests.faults.load.load import Load
from tests.harness.farms import ClusterFarm, Member, Proxy, SentinelFarm, wait_for
from tests.harness.servers import Server

HAND_OVER_MS = 5000
"""For so long at most the old primary takes no writes while the other one catches up."""


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


async def demoted_behind_a_name(stage: Stage, load: Load, seconds: float) -> None:
    """The primary hands over to its replica and is cut off from it. It keeps its clients; new connections reach the
    other one.
    """
    await asyncio.to_thread(_hand_over, stage.server, stage.replica, stage.proxy)


def _hand_over(old: Server, new: Server, name: Proxy) -> None:
    with old.client() as primary, new.client() as replica:
        primary.client_pause(HAND_OVER_MS, all=False)
        written = int(primary.info("replication")["master_repl_offset"])
        wait_for(lambda: int(replica.info("replication")["slave_repl_offset"]) >= written, "all of it at the replica")
        replica.replicaof("NO", "ONE")
        name.behind = new.port
        primary.replicaof("127.0.0.1", "1")
        primary.client_unpause()


async def replicas_gone(stage: Stage, load: Load, seconds: float) -> None:
    """No replica acknowledges anything."""
    stage.replica.signal(signal.SIGSTOP)
    await asyncio.sleep(max(2.0, seconds / 2))
    stage.replica.signal(signal.SIGCONT)
    await asyncio.to_thread(_wait_for_replica, stage.server)


def _wait_for_replica(primary: Server) -> None:
    with primary.client() as client:
        wait_for(lambda: int(client.execute_command("WAIT", 1, 100)) == 1, "a replica that acknowledges")


async def node_gone_while_revoking(stage: Stage, load: Load, seconds: float) -> None:
    """A primary without a replica stands still while users are revoked who have sessions on all nodes.

    What the other nodes have of these sessions must have ended by then, and the rest when the node is back.
    """
    manager, farm = load.managers[0], stage.cluster
    names = {user: [f"{user}-{number}" for number in range(6)] for user in (f"gone{index}" for index in range(8))}
    for user, session_ids in names.items():
        await asyncio.gather(*(manager.allocate_session(one, user_id=user) for one in session_ids))
    gone = (await asyncio.to_thread(farm.owners))[0]
    slots = [range(first, last + 1) for first, last, member in await asyncio.to_thread(farm.ranges) if member is gone]
    gone.server.signal(signal.SIGSTOP)
    await asyncio.gather(*map(manager.revoke_user_sessions, names), return_exceptions=True)
    ids = [session_id for session_ids in names.values() for session_id in session_ids]
    elsewhere = [one for one in ids if not any(_slot(one) in some for some in slots)]
    load.ledger.revived += sum(await asyncio.gather(*map(manager.validate_session, elsewhere)))
    gone.server.signal(signal.SIGCONT)
    await asyncio.to_thread(farm.settle)
    await asyncio.gather(*map(manager.revoke_user_sessions, names))
    load.ledger.dead += ids


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
    return [_slot(seat.account.session_id) for seat in load.seats if seat.account is not None]


def _slot(session_id: str) -> int:
    return slot_of(keys.session_keys("faults", session_id).record)
