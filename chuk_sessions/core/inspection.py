"""Inspection: plain commands to single servers of a store, for diagnostics. Operations never use it.

A backend that consists of servers is `Inspectable`. An inspection has connections of its own, so its queries do not
delay calls. Replies have the shapes of RESP2: a hash is field, value, field, value..., and texts and scores are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable


class RefusedError(Exception):
    """The server's error reply to a query. Its text begins with the error code."""

    @property
    def code(self) -> str:
        """The error code, such as NOPERM."""
        return str(self).partition(" ")[0]


class UnansweredError(Exception):
    """The error of a query to a server that cannot be reached, or has not replied in time."""


class Kind(StrEnum):
    """The kinds of deployments."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Part(StrEnum):
    """The parts that servers have in a deployment."""

    PRIMARY = "primary"
    REPLICA = "replica"
    SENTINEL = "sentinel"


class Peer(NamedTuple):
    """The other end of a connection.

    Attributes:
        ip: its address; empty for a unix socket.
        tls: whether the connection is encrypted.
        certificate: the server's certificate, as `ssl.SSLSocket.getpeercert()` returns it; empty if it was not checked.

    """

    ip: str
    tls: bool
    certificate: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Settings of the connections of this process. Times are in seconds.

    Attributes:
        url: the URL without its secrets.
        username: the ACL user; None is the default user.
        has_password: whether the client logs in with a password or token.
        checks_certificates: whether TLS certificates are verified; True without TLS.
        call_timeout: time for a call, including its retries.
        wait_replicas: how many replicas must acknowledge a durable change.

    """

    url: str
    username: str | None
    has_password: bool
    checks_certificates: bool
    call_timeout: float
    wait_replicas: int


class InspectedServer(Protocol):
    """A server of the deployment.

    Attributes:
        address: host and port, or the path of a unix socket.
        part: its part in the deployment, as the other servers or the URL say.

    """

    address: str
    part: Part

    async def query(self, *words: str | bytes | int) -> Any:
        """Run a command that only reads, and return its reply. Raises RefusedError and UnansweredError."""

    def peer(self) -> Peer | None:
        """Return the other end of the connection; None if none is open."""

    async def admits_anyone(self) -> bool:
        """Return whether the server takes commands without a login or a client certificate. Raises UnansweredError."""


class Inspection(Protocol):
    """The servers of a store.

    Attributes:
        kind: the kind of deployment.
        settings: those of this process.
        primaries, replicas, sentinels: the servers. Replicas are those that the primaries know.
        primary_name: the name by which sentinels know the primary; empty without sentinels.
        slots: how many slots of a cluster have a primary.

    """

    kind: Kind
    settings: ClientSettings
    primaries: Sequence[InspectedServer]
    replicas: Sequence[InspectedServer]
    sentinels: Sequence[InspectedServer]
    primary_name: str
    slots: int

    def holder(self, key: str) -> InspectedServer | None:
        """Return the primary that has the key; None if no primary has its slot."""

    async def aclose(self) -> None:
        """Close the connections of the inspection."""


@runtime_checkable
class Inspectable(Protocol):
    """A backend whose servers can be inspected."""

    async def inspect(self) -> Inspection:
        """Find the servers. The caller must close the inspection. Raises a subclass of ProviderError in an outage."""
