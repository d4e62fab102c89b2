"""The checks, in the order in which they run and are reported. docs/doctor.md has a row for each."""

from __future__ import annotations

from typing import Final

from ..core.inspection import Part
from . import access, deployment, memory, persistence, replication, servers, sweeps, trial, troubles
from .case import DATA, ServerCheck

_PRIMARY = (Part.PRIMARY,)
_SENTINEL = (Part.SENTINEL,)
_ALL = tuple(Part)

REACHABLE: Final = ServerCheck("servers", servers.reachable, _ALL)
"""The only check of servers that do not answer."""

CLUSTER: Final = ServerCheck("cluster", deployment.cluster, _PRIMARY)
"""The only check that is for one kind of deployment."""

SERVER_CHECKS: Final = (
    ServerCheck("version", servers.version, DATA),
    ServerCheck("eviction", memory.eviction, DATA),
    ServerCheck("memory", memory.memory, DATA),
    ServerCheck("encoding", memory.encoding, _PRIMARY),
    ServerCheck("persistence", persistence.persistence, DATA),
    ServerCheck("tls", access.tls, _ALL),
    ServerCheck("exposure", access.exposure, _ALL),
    ServerCheck("rights", access.rights, _PRIMARY),
    ServerCheck("scripts", trial.scripts, _PRIMARY),
    ServerCheck("clock", servers.clock, DATA),
    ServerCheck("timeouts", servers.timeouts, _PRIMARY),
    ServerCheck("role", replication.role, DATA),
    ServerCheck("replicas", replication.replicas, _PRIMARY),
    CLUSTER,
    ServerCheck("sentinel", deployment.sentinel, _SENTINEL),
)
"""The checks of each server that answers."""

STORE: Final = "store"
"""The check of the kind of store."""

NAMES: Final = (
    STORE, REACHABLE.name, *(check.name for check in SERVER_CHECKS), sweeps.NAME, *troubles.CHECKS,
)  # fmt: skip
"""The names of all checks."""
