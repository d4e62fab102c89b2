"""Addresses of nodes, and options of their connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .net.connection_log import ConnectionLog

MEGABYTE = 1 << 20


class Address(NamedTuple):
    """A host and port, or the path of a unix socket if that is not empty."""

    host: str = ""
    port: int = 6379
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Remap = Callable[[tuple[str, int]], tuple[str, int]]
"""A function from the host and port that the servers name to those at which this process reaches the node."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options that all connections to a node share. Times are in seconds.

    Attributes:
        username: an ACL user; None is the server's default user.
        password: the password of that user, or of a server with `requirepass`. Never shown.
        credentials: a credential provider of redis-py, instead of user and password.
        db: the database to SELECT.
        tls: keyword arguments of redis-py's SSLConnection, as pairs; None means no TLS.
        client_name: the name in CLIENT LIST; empty means none.
        protocol: the version of RESP, 2 or 3; None means 3 if the server supports it.
        connect_timeout: to open a connection, including handshakes and login.
        call_timeout: for a call, including all retries.
        retries: how often a call that has reached a server is retried.
        max_in_flight: the in-flight limit of a node: calls over it wait, first in, first out.
        max_bytes: the most bytes that those calls may have together, packed; a larger call is sent alone.
        connections: connections per node and event loop.
        bulk_bytes: the packed size from which a call uses the connection for large calls.
        keepalive: whether to send TCP keepalive probes.
        wait_replicas: how many replicas must acknowledge a durable change before its call returns; 0 means none.
        wait_timeout: how long to wait for their acknowledgment.
        policy_seen: called with the address and the maxmemory-policy of a server after a connection to it has opened.
        log: the log of connections that are opened, lost, or refused.
        address_remap: translates the address that the servers name to the one that reaches the node.

    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    credentials: Any = field(default=None, repr=False)
    db: int = 0
    tls: tuple[tuple[str, Any], ...] | None = field(default=None, repr=False)
    client_name: str = ""
    protocol: int | None = None
    connect_timeout: float = 5.0
    call_timeout: float = 5.0
    retries: int = 16
    max_in_flight: int = 4096
    max_bytes: int = 16 * MEGABYTE
    connections: int = 1
    bulk_bytes: int = MEGABYTE // 16
    keepalive: bool = True
    wait_replicas: int = 0
    wait_timeout: float = 0.5
    policy_seen: Callable[[Address, str], None] | None = field(default=None, repr=False)
    log: ConnectionLog | None = field(default=None, repr=False, compare=False)
    address_remap: Remap | None = field(default=None, repr=False)

    def remapped(self, address: Address) -> Address:
        """Return the address at which this process reaches a node that the servers know under that address."""
        if self.address_remap is None:
            return address
        host, port = self.address_remap((address.host, address.port))
        return Address(host, port)
