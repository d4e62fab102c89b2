"""Inspection of the servers of a store, see `core.inspection`. Each server gets a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

from ...core import server_info
from ...core.inspection import ClientSettings, Kind, Part, Peer, RefusedError, UnansweredError
from . import url as urls
from .client import Client
from .net.node import Node
from .net.resp import NotSentError, ReplyError, ReplyLostError
from .options import Address, Options
from .topology.slot_map import SlotRange, slot_ranges
from .topology.slots import SLOTS, slot_of
from .url import StoreURL

_REPLY_TIMEOUT = 3.0
_CONNECT_TIMEOUT = 2.0
"""Seconds. A server that is down must not hold up the inspection of the others."""
_SOON = 1.0
"""Seconds after which a query that has failed is not repeated."""

_CLIENT_CERTIFICATE = ("ssl_certfile", "ssl_keyfile", "ssl_password")
"""The TLS settings with which a client identifies itself."""


class Server:
    """A server under inspection, see `core.inspection.InspectedServer`."""

    def __init__(self, address: Address, options: Options, part: Part) -> None:
        # RESP2 has fewer kinds of replies.
        self._options = replace(
            options,
            protocol=2,
            connections=1,
            wait_replicas=0,
            connect_timeout=min(options.connect_timeout, _CONNECT_TIMEOUT),
            call_timeout=max(options.call_timeout, _REPLY_TIMEOUT),
            policy_seen=None,
            log=None,
        )
        self._address = address
        self._node = Node(address, self._options)
        self.address = str(address)
        self.part = part

    async def query(self, *words: str | bytes | int) -> Any:
        """Run a command that only reads, and return its reply. Raises RefusedError and UnansweredError."""
        begun = monotonic()
        try:
            return await _query(self._node, words)
        except UnansweredError:
            if monotonic() - begun > _SOON:
                raise
        # The connection is lost, and the server is perhaps not: a proxy or a short idle time-out can cut it.
        return await _query(self._node, words)

    def peer(self) -> Peer | None:
        """Return the other end of the connection; None if none is open."""
        for connection in self._node.open_connections():
            name, tls = connection.extra_info("peername"), connection.extra_info("ssl_object")
            ip = str(name[0]) if isinstance(name, tuple) else ""
            return Peer(ip, tls is not None, (tls.getpeercert() or {}) if tls is not None else {})
        return None

    async def admits_anyone(self) -> bool:
        """Return whether the server takes commands without a login. Raises UnansweredError."""
        tls = self._options.tls
        if tls is not None:  # a certificate is a login, too
            tls = tuple(pair for pair in tls if pair[0] not in _CLIENT_CERTIFICATE)
        options = replace(self._options, username=None, password=None, credentials=None, client_name="", tls=tls)
        stranger = Node(self._address, options)
        try:
            await _query(stranger, ("SENTINEL", "MASTERS") if self.part is Part.SENTINEL else ("DBSIZE",))
        except RefusedError:
            return False
        finally:
            stranger.abort()
            await stranger.aclose()
        return True

    async def aclose(self) -> None:
        """Close the connection, and give up queries that nobody awaits any more."""
        self._node.abort()
        await self._node.aclose()


class RedisInspection:
    """The servers of a store, see `core.inspection.Inspection`."""

    def __init__(self, store: StoreURL, kind: Kind, primaries: Sequence[Address], ranges: Sequence[SlotRange]) -> None:
        self._options = store.options
        self._ranges = ranges
        self.kind = kind
        self.settings = _settings_of(store)
        self.primary_name = store.master
        self.primaries = self._servers(primaries, Part.PRIMARY)
        sentinels = store.addresses if kind is Kind.SENTINEL else ()
        self.sentinels = [Server(address, store.sentinel_options, Part.SENTINEL) for address in sentinels]
        self.replicas: list[Server] = []
        self.slots = sum(each.last - each.first + 1 for each in ranges)
        self._by_slot: list[Server | None] = [None] * SLOTS
        by_address = {server.address: server for server in self.primaries}
        for each in ranges:
            found = by_address[str(each.primary)]
            self._by_slot[each.first : each.last + 1] = [found] * (each.last + 1 - each.first)

    def holder(self, key: str) -> Server | None:
        """Return the primary that has the key; None if no primary has its slot."""
        return self._by_slot[slot_of(key)] if self.kind is Kind.CLUSTER else self.primaries[0]

    async def find_replicas(self) -> None:
        """Find the replicas that the slot map names, or that primaries name in their replies to INFO."""
        mapped: dict[str, dict[Address, None]] = {server.address: {} for server in self.primaries}
        for each in self._ranges:
            mapped[str(each.primary)] |= dict.fromkeys(each.replicas)
        connected = await asyncio.gather(*(_connected_replicas(each, self._options) for each in self.primaries))
        # The map leaves out replicas that its node has not heard of yet.
        pairs = zip(mapped.values(), connected, strict=True)
        found = [replica for known, others in pairs for replica in (known if len(known) >= len(others) else others)]
        self.replicas = self._servers(dict.fromkeys(found), Part.REPLICA)

    async def aclose(self) -> None:
        """Close the connections of the inspection."""
        servers = (*self.primaries, *self.replicas, *self.sentinels)
        await asyncio.gather(*(server.aclose() for server in servers))

    def _servers(self, addresses: Iterable[Address], part: Part) -> list[Server]:
        return [Server(address, self._options, part) for address in addresses]


async def inspect(store: StoreURL, client: Client) -> RedisInspection:
    """Find the servers of a store. The caller must close the inspection.

    Raises a subclass of ProviderError if the store does not answer.
    """
    # This waits for the topology to find the servers, and raises typed errors if there are none.
    await client.run((b"ECHO", b"inspect"), "inspect", True, read_only=True)
    topology = client.topology()
    # Nodes with a connection come first: any of the others may be down.
    nodes = sorted(topology.nodes(), key=lambda node: not node.connected)
    ranges: list[SlotRange] = []
    if store.kind is not urls.Kind.SENTINEL:
        ranges = await _first_map(nodes, store.options)
    if ranges:
        kind, primaries = Kind.CLUSTER, list(dict.fromkeys(each.primary for each in ranges))
    else:
        kind = Kind.SENTINEL if store.kind is urls.Kind.SENTINEL else Kind.SERVER
        primaries = [nodes[0].address]
    inspection = RedisInspection(store, kind, primaries, ranges)
    await inspection.find_replicas()
    return inspection


async def _query(node: Node, words: Sequence[str | bytes | int]) -> Any:
    try:
        return await node.query(tuple(words), _REPLY_TIMEOUT)
    except ReplyError as refused:
        if refused.server:  # it refuses the connection, not the command
            raise UnansweredError(refused.message) from refused
        raise RefusedError(refused.message) from refused
    except (NotSentError, ReplyLostError) as failure:
        raise UnansweredError(str(failure)) from failure


async def _first_map(nodes: Sequence[Node], options: Options) -> list[SlotRange]:
    """Return the slot map of the first node that replies; nothing if that is not in a cluster, or refuses the query."""
    for node in nodes:
        try:
            reply = await _query(node, ("CLUSTER", "SLOTS"))
        except RefusedError:
            return []
        except UnansweredError:
            continue
        return [each.remapped(options.remapped) for each in slot_ranges(reply, node.address)]
    return []


async def _connected_replicas(primary: Server, options: Options) -> list[Address]:
    try:
        info = server_info.parse(bytes(await primary.query("INFO", "replication")))
    except (RefusedError, UnansweredError):
        return []
    found = []
    for name, text in info.items():
        if name.startswith("slave") and name[5:].isdigit():
            facts = server_info.parse_replica(text)
            if facts.get("ip") and facts.get("port", "").isdigit():
                found.append(options.remapped(Address(facts["ip"], int(facts["port"]))))
    return found


def _settings_of(store: StoreURL) -> ClientSettings:
    options = store.options
    tls = dict(options.tls or ())
    return ClientSettings(
        url=store.redacted,
        username=options.username,
        has_password=bool(options.password or options.credentials),
        checks_certificates=tls.get("ssl_cert_reqs", "required") == "required",
        call_timeout=options.call_timeout,
        wait_replicas=options.wait_replicas,
    )
