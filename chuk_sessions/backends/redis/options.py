"""Where a node is, and how its connections are opened and used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .net.connection_log import ConnectionLog

MEGABYTE = 1 << 20


class Address(NamedTuple):
    """Host and port, or the path of a unix socket where that is not empty."""

    host: str = ""
    port: int = 6379
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Remap = Callable[[tuple[str, int]], tuple[str, int]]
"""Host and port, as the servers name a node, to host and port as this process reaches it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What all connections to a node have in common. Times are seconds.

    Attributes:
        username: an ACL user; None is the server's default user.
        password: of that user, or of a server with `requirepass`. Never shown.
        credentials: a credential provider of redis-py, in the place of user and password.
        db: the database to SELECT.
        tls: keyword arguments of redis-py's SSLConnection as pairs; None means no TLS.
        client_name: what CLIENT LIST shows; empty means none.
        protocol: 2 or 3 (RESP); None takes 3 where the server has it.
        connect_timeout: for opening a connection, handshakes and log-in included.
        call_timeout: for a call, with all its repeats.
        retries: how often a call that has reached a server is tried again.
        max_in_flight: calls of a node that may be under way at once; more of them wait their turn.
        max_bytes: packed size of those calls; a larger one goes alone.
        links: connections per node and event loop.
        bulk_bytes: packed size from which a call takes the connection for large ones.
        keepalive: TCP keepalive probes.
        wait_replicas: how many replicas must have a durable change before it is acknowledged; 0 means none.
        wait_timeout: how long to wait for them.
        policy_seen: is told of the address and the maxmemory-policy of a server when a connection to it is open.
        log: is told of connections that are lost, refused or opened.
        address_remap: gives the address that reaches a node, for the one that the servers name.

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

    def reached_at(self, address: Address) -> Address:
        """Return where this process reaches a node that the servers know under that address."""
        if self.address_remap is None:
            return address
        host, port = self.address_remap((address.host, address.port))
        return Address(host, port)
