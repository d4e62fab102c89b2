"""A cluster: primaries, a replica for each, and slots that tests can move."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from chuk_sessions.backends.redis.topology.slots import SLOTS, slot_of
from tests.harness.ports import BUS

from .certificates import Certificates
from .member import Member, add, wait_for

MIGRATE_TIMEOUT_MS = 5_000


@dataclass
class ClusterFarm:
    """A running cluster. It can replace a `Server` where a test only needs a URL and an empty database.

    Attributes:
        members: the nodes, the first primaries first.
        primaries: how many of them started as primaries, with the slots divided evenly and in order.
        password: of all nodes.
        host: the address at which clients reach them.

    """

    members: list[Member]
    primaries: int
    password: str = ""
    certificates: Certificates | None = field(default=None, repr=False)
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        """The URL of some nodes, from which a client discovers the others."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        hosts = ",".join(f"{host}:{member.port}" for member in self.members[: self.primaries])
        scheme = "rediss" if self.certificates else "redis"
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"{scheme}://{login}{hosts}" + (f"/0?{self.certificates.query}" if self.certificates else "")

    def identity(self, member: Member) -> str:
        """Return the node's id in the cluster."""
        return _text(member.command("CLUSTER", "MYID"))

    def at(self, port: int) -> Member:
        """Return the node that clients reach at that port."""
        return next(member for member in self.members if member.port == port)

    def owners(self) -> list[Member]:
        """Return the primaries that have slots, according to the first node that replies."""
        return list({id(member): member for _, _, member in self.ranges()}.values())

    def ranges(self) -> list[tuple[int, int, Member]]:
        """Return the slot ranges: first slot, last slot, primary."""
        rows = self._command_on_any("CLUSTER", "SLOTS")
        return [(int(row[0]), int(row[1]), self.at(int(row[2][1]))) for row in rows]

    def slots_of(self, member: Member) -> list[range]:
        """Return the ranges of slots that a primary has."""
        return [range(first, last + 1) for first, last, owner in self.ranges() if owner is member]

    def owner(self, slot: int) -> Member:
        """Return the primary of a slot."""
        return next(member for first, last, member in self.ranges() if first <= slot <= last)

    def move(self, slot: int, target: Member, *, batch: int = 10) -> int:
        """Move a slot with SETSLOT and MIGRATE. Return the number of moved keys."""
        source = self.owner(slot)
        if source is target:
            return 0
        self.begin_move(slot, source, target)
        moved = 0
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, batch):
            self.migrate(keys, source, target)
            moved += len(keys)
        self.end_move(slot, source, target)
        return moved

    def begin_move(self, slot: int, source: Member, target: Member) -> None:
        """Put the slot into the migrating state."""
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.identity(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.identity(target))

    def migrate(self, keys: list[Any], source: Member, target: Member) -> None:
        """Move keys of a migrating slot."""
        login = ["AUTH", self.password] if self.password else []
        source.command("MIGRATE", self.host, target.port, "", 0, MIGRATE_TIMEOUT_MS, *login, "KEYS", *keys)

    def end_move(self, slot: int, source: Member, target: Member) -> None:
        """Move the remaining keys, and assign the slot to the target."""
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            self.migrate(keys, source, target)
        # Gossip would tell the others later, but the next move may start at once and query one of them for the owner.
        others = [member for member in self.owners() if member is not target and member is not source]
        for member in (target, source, *others):
            member.command("CLUSTER", "SETSLOT", slot, "NODE", self.identity(target))

    def empty(self) -> None:
        """Delete all keys."""
        for member in self.owners():
            member.command("FLUSHALL")

    def set_all(self, values: dict[str, Any]) -> None:
        """Set keys, each on the primary of its slot."""
        for first, last, member in self.ranges():
            with member.client.pipeline(transaction=False) as pipeline:
                for key, value in values.items():
                    if first <= slot_of(key) <= last:
                        pipeline.set(key, value)
                pipeline.execute()

    def settle(self) -> None:
        """Wait until all nodes are up and see every slot served, and replicas are in sync."""
        wait_for(self._is_settled, "a settled cluster")

    def _command_on_any(self, *words: Any) -> Any:
        for member in self.members:
            try:
                return member.command(*words)
            except redis.RedisError:
                continue
        raise redis.ConnectionError("all nodes are down")

    def _is_settled(self) -> bool:
        for member in self.members:
            state = _parse_info(member.command("CLUSTER", "INFO"))
            if state["cluster_state"] != "ok" or int(state["cluster_known_nodes"]) != len(self.members):
                return False
            if sum(last - first + 1 for first, last, _ in self._ranges_at(member)) != SLOTS:
                return False
            replication = member.info("replication")
            if replication["role"] == "slave" and replication["master_link_status"] != "up":
                return False
        return True

    def _ranges_at(self, member: Member) -> list[tuple[int, int, Any]]:
        return [(int(row[0]), int(row[1]), row[2]) for row in member.command("CLUSTER", "SLOTS")]


@contextmanager
def cluster_farm(
    binary: str | Path,
    *options: str,
    primaries: int = 3,
    replicas: bool = True,
    password: str = "",
    node_timeout_ms: int = 1000,
    certificates: Certificates | None = None,
    host: str = "127.0.0.1",
) -> Iterator[ClusterFarm]:
    """Start a cluster, and wait until every node sees all of it.

    With certificates, clients reach the nodes through proxies with TLS, whose ports the nodes announce. Traffic of
    replicas and migrations passes through them, too, without TLS.
    """
    words = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms)]
    words += ["--cluster-require-full-coverage", "no", "--cluster-migration-barrier", "99"]
    words += ["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0", *options]
    words += ["--masterauth", password] if password else []
    words += ["--cluster-announce-ip", host, *(["--bind", host, "127.0.0.1"] if host != "127.0.0.1" else [])]
    with ExitStack() as stack:
        members = [
            add(stack, binary, *words, password=password, certificates=certificates, announce="--cluster-announce-port")
            for _ in range(primaries * (2 if replicas else 1))
        ]
        farm = ClusterFarm(members, primaries, password, certificates, host)
        _join(farm)
        yield farm


@contextmanager
def one_node(binary: str | Path, *options: str) -> Iterator[Member]:
    """Run a single node without slots."""
    with ExitStack() as stack:
        yield add(stack, binary, "--cluster-enabled", "yes", *options)


def _join(farm: ClusterFarm) -> None:
    for epoch, member in enumerate(farm.members, start=1):
        member.command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
    for index, (first, last) in enumerate(_slot_ranges(farm.primaries)):
        _add_slots(farm.members[index], first, last)
    for member in farm.members[1:]:
        # Both ports are given, because proxies only forward the first.
        member.command("CLUSTER", "MEET", "127.0.0.1", farm.members[0].server.port, farm.members[0].server.port + BUS)
    wait_for(lambda: all(_knows_all(farm, member) for member in farm.members), "nodes that know each other")
    for index, member in enumerate(farm.members[farm.primaries :]):
        member.command("CLUSTER", "REPLICATE", farm.identity(farm.members[index]))
    farm.settle()


def _knows_all(farm: ClusterFarm, member: Member) -> bool:
    lines = _text(member.command("CLUSTER", "NODES")).splitlines()
    return len(lines) == len(farm.members) and not any("handshake" in line for line in lines)


def _slot_ranges(primaries: int) -> Iterable[tuple[int, int]]:
    bounds = [SLOTS * index // primaries for index in range(primaries + 1)]
    return ((first, last - 1) for first, last in pairwise(bounds))


def _add_slots(member: Member, first: int, last: int) -> None:
    try:
        member.command("CLUSTER", "ADDSLOTSRANGE", first, last)
    except redis.ResponseError:  # Redis 6.2 does not know ADDSLOTSRANGE
        member.command("CLUSTER", "ADDSLOTS", *range(first, last + 1))


def _parse_info(reply: Any) -> dict[str, str]:
    if isinstance(reply, dict):
        return {_text(name): _text(value) for name, value in reply.items()}
    return dict(line.split(":", 1) for line in _text(reply).split("\r\n") if ":" in line)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
