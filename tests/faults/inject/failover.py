"""Faults of several servers. Where another server must take over, the function returns once the fault has struck."""

from __future__ import annotations

import asyncio
import signal

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis.topology.slots import slot_of
from chuk_sessions.core import keys
from chuk_sessions.exceptions import RevocationIncompleteError
from tests.faults.environments import Environment
from tests.faults.load.load import PATIENCE, Load
from tests.harness.farms import ClusterFarm, Member, Proxy, SentinelFarm, wait_for
from tests.harness.servers import Server

HANDOVER_MS = 5000
"""The longest time in ms for which the old primary accepts no writes while its replica catches up."""


async def kill_primary(environment: Environment, load: Load, seconds: float) -> None:
    """Kill the primary that the sentinels monitor (kill -9)."""
    (await asyncio.to_thread(environment.sentinels.primary)).server.kill()


async def kill_primary_ahead_of_replicas(environment: Environment, load: Load, seconds: float) -> None:
    """Let the primary acknowledge writes that its replicas do not receive, and kill it."""
    farm = environment.sentinels
    primary = await asyncio.to_thread(farm.primary)
    replicas = [member for member in farm.members if member is not primary]
    for member in replicas:
        member.server.signal(signal.SIGSTOP)
    await asyncio.to_thread(primary.command, "CLIENT", "KILL", "TYPE", "replica")
    await asyncio.sleep(0.3)
    primary.server.kill()
    for member in replicas:
        member.server.signal(signal.SIGCONT)


async def suspend_primary(environment: Environment, load: Load, seconds: float) -> None:
    """Suspend the primary until another has replaced it, and then resume it."""
    farm = environment.sentinels
    primary = await asyncio.to_thread(farm.primary)
    primary.server.signal(signal.SIGSTOP)
    await asyncio.to_thread(wait_for, lambda: _named_by_most_sentinels(farm) is not primary, "a new primary")
    primary.server.signal(signal.SIGCONT)


async def demote_behind_dns_name(environment: Environment, load: Load, seconds: float) -> None:
    """Promote the replica, demote the primary, and move the DNS name. The old primary keeps its clients; only new
    connections reach the new one.
    """
    await asyncio.to_thread(_promote_replica, environment.server, environment.replica, environment.proxy)


def _promote_replica(old: Server, new: Server, dns_name: Proxy) -> None:
    with old.client() as primary, new.client() as replica:
        primary.client_pause(HANDOVER_MS, all=False)
        written = int(primary.info("replication")["master_repl_offset"])
        wait_for(lambda: int(replica.info("replication")["slave_repl_offset"]) >= written, "all writes on the replica")
        replica.replicaof("NO", "ONE")
        dns_name.upstream_port = new.port
        primary.replicaof("127.0.0.1", "1")
        primary.client_unpause()


async def suspend_replica(environment: Environment, load: Load, seconds: float) -> None:
    """Suspend the replica, so that no replica acknowledges a write."""
    environment.replica.signal(signal.SIGSTOP)
    await asyncio.sleep(max(2.0, seconds / 2))
    environment.replica.signal(signal.SIGCONT)
    await asyncio.to_thread(_wait_for_replica, environment.server)


def _wait_for_replica(primary: Server) -> None:
    with primary.client() as client:
        wait_for(lambda: int(client.execute_command("WAIT", 1, 100)) == 1, "a replica that acknowledges")


async def suspend_node_while_revoking(environment: Environment, load: Load, seconds: float) -> None:
    """Suspend a primary without a replica while the sessions of users are revoked, which are on all nodes.

    Sessions on the other nodes must not validate afterwards, and the rest must not once the node is back.
    """
    manager, farm = load.managers[0], environment.cluster
    sessions = {user: [f"{user}-{number}" for number in range(6)] for user in (f"revoked{index}" for index in range(8))}
    for user, session_ids in sessions.items():
        await asyncio.gather(*(manager.allocate_session(one, user_id=user) for one in session_ids))
    suspended = (await asyncio.to_thread(farm.owners))[0]
    slots = await asyncio.to_thread(farm.slots_of, suspended)
    suspended.server.signal(signal.SIGSTOP)
    await asyncio.gather(*map(manager.revoke_user_sessions, sessions), return_exceptions=True)
    ids = [session_id for session_ids in sessions.values() for session_id in session_ids]
    elsewhere = [one for one in ids if not any(_slot(one) in some for some in slots)]
    load.ledger.revived += sum(await asyncio.gather(*map(manager.validate_session, elsewhere)))
    suspended.server.signal(signal.SIGCONT)
    await asyncio.to_thread(farm.settle)
    for user in sessions:
        await _revoke(manager, user)
    load.ledger.invalid_ids += ids


async def _revoke(manager: SessionManager, user: str) -> None:
    """Revoke a user's sessions. A busy machine may need several attempts."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await manager.revoke_user_sessions(user)
                return
            except RevocationIncompleteError:
                continue


def _named_by_most_sentinels(farm: SentinelFarm) -> Member:
    named = [farm.named(sentinel) for sentinel in farm.sentinels]
    return max(farm.members, key=lambda member: sum(member is other for other in named))


async def kill_cluster_primary(environment: Environment, load: Load, seconds: float) -> None:
    """Kill a primary of the cluster that has a session of the load (kill -9)."""
    (await asyncio.to_thread(environment.cluster.owner, _slots_of(load)[0])).server.kill()


async def migrate_slots(environment: Environment, load: Load, seconds: float) -> None:
    """Migrate the slots of the load's sessions from node to node, again and again."""
    loop, farm = asyncio.get_running_loop(), environment.cluster
    end = loop.time() + seconds
    while loop.time() < end:
        for slot in _slots_of(load):
            await asyncio.to_thread(_migrate_to_next_node, farm, slot)


def _migrate_to_next_node(farm: ClusterFarm, slot: int) -> None:
    owners, source = farm.owners(), farm.owner(slot)
    farm.move(slot, owners[(owners.index(source) + 1) % len(owners)], batch=2)


def _slots_of(load: Load) -> list[int]:
    return [_slot(shared.account.session_id) for shared in load.shared if shared.account is not None]


def _slot(session_id: str) -> int:
    return slot_of(keys.session_keys("faults", session_id).record)
