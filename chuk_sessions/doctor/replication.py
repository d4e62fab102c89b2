"""Checks of replication: the role of each server, and its replicas."""

from __future__ import annotations

from collections.abc import Iterator

from ..core import server_info
from ..core.inspection import Kind, Part
from .case import Case
from .facts import BlockedError, Facts
from .finding import Verdict, ok, problem, warning

_MAX_LAG = 10
"""Seconds since a replica has acknowledged anything. A healthy one does so every second."""


def role(server: Facts, _case: Case) -> Iterator[Verdict]:
    """Check that primaries take writes, and that replicas follow their primary."""
    found, part = server.text("role"), server.server.part
    if part is Part.PRIMARY and found != "master":
        yield problem(
            "this server is a replica and takes no writes",
            "Name the primary in the URL. If the address is a name that moves at failovers (DNS, load balancer), make "
            "it lead to the primary; or use Sentinels or a cluster, which the library asks for the primary.",
        )
    elif part is Part.REPLICA and server.has("master_sync_in_progress") and server.number("master_sync_in_progress"):
        yield warning(
            "this replica copies the data of its primary, and cannot take over before it has all of them",
            "Wait for the end of the synchronization. If it starts again and again, raise repl-backlog-size and "
            "`client-output-buffer-limit replica`.",
        )
    elif part is Part.REPLICA and server.has("master_link_status") and server.text("master_link_status") != "up":
        yield problem(
            "this replica has lost its primary, so its data gets older",
            "Look at its log: usually the network, the password (masterauth), or a buffer that is too small "
            "(client-output-buffer-limit replica, repl-backlog-size).",
        )
    else:
        yield ok(f"this server is a {part}")


def replicas(server: Facts, case: Case) -> Iterator[Verdict]:
    """Check that each primary has replicas that keep up, if the deployment needs them."""
    connected = server.number("connected_slaves")
    wanted = case.inspection.settings.wait_replicas
    if wanted > connected:
        yield problem(
            f"SESSION_REDIS_WAIT_REPLICAS is {wanted}, but {_connected(connected)}: logins, rotations, and logouts "
            "raise NotReplicatedError",
            "Start the missing replicas, or lower the setting.",
        )
    yield from _late(server, connected)
    least = server.size("min-replicas-to-write") if connected else _least_or_none(server)
    if not connected and not least:
        yield _alone(case)
    elif not least:
        yield warning(
            "min-replicas-to-write is 0: a primary that is cut off from its replicas keeps taking logins and logouts, "
            "and the failover loses them",
            "Run `CONFIG SET min-replicas-to-write 1`, `CONFIG SET min-replicas-max-lag 10`, and `CONFIG REWRITE` on "
            "the primary and its replicas. With a single replica, writes then stop while either of the two is down, "
            "even after a failover: run two.",
        )
    elif least > connected:
        yield problem(
            f"min-replicas-to-write is {least}, but {_connected(connected)}: the server refuses writes",
            "Start the missing replicas, or lower min-replicas-to-write.",
        )
    else:
        yield ok(f"{_connected(connected)}, and writes need at least {least}")


def _connected(number: int) -> str:
    return f"{number} replica{' is' if number == 1 else 's are'} connected"


def _least_or_none(server: Facts) -> int:
    """Return how many replicas writes need; 0 if that is unknown, which does not matter without replicas."""
    try:
        return server.size("min-replicas-to-write")
    except BlockedError:
        return 0


def _alone(case: Case) -> Verdict:
    kind = case.inspection.kind
    if kind is Kind.SENTINEL:
        return problem(
            "no replica is connected, so Sentinels cannot fail over",
            "Start the replicas. If they run, look at their logs: usually the network or the password (masterauth).",
        )
    if kind is Kind.CLUSTER:
        return warning(
            "this primary has no replica: while it is down, the sessions in its slots cannot be used",
            "Add a replica with `redis-cli --cluster add-node ... --cluster-slave`.",
        )
    return ok("a single server without replicas: while it is down, sessions cannot be used")


def _late(server: Facts, connected: int) -> Iterator[Verdict]:
    for number in range(connected):
        try:
            line = server.text(f"slave{number}")
        except BlockedError:
            continue
        facts = server_info.parse_replica(line)
        name = f"{facts.get('ip')}:{facts.get('port')}"
        lag = int(facts["lag"]) if facts.get("lag", "").isdigit() else 0
        if facts.get("state") != "online":
            yield warning(
                f"the replica {name} is not online ({facts.get('state')})",
                "Wait for its first synchronization. If that starts again and again, raise repl-backlog-size and "
                "`client-output-buffer-limit replica`.",
            )
        elif lag > _MAX_LAG:
            yield warning(
                f"the replica {name} has not acknowledged anything for {lag} s: a failover would lose the sessions and "
                "logouts since then",
                "Look at the replica's load and log, and at the network between both.",
            )
