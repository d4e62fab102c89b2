"""Scans of the keys of a store, server by server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from ...core import ids, keys, server_info
from ...exceptions import ProviderError, SessionUnavailableError
from ..base import MOVING
from .client import Client
from .net.node import Node
from .net.resp import Command, NotSentError, ReplyError, ReplyLostError
from .topology.base import Topology
from .topology.slots import SLOTS

_GLOB = str.maketrans({character: f"\\{character}" for character in "*?[]\\"})


class RedisServer:
    """A primary of a store. See `KeyServer`."""

    def __init__(self, node: Node, name: str, slots: str, timeout: float) -> None:
        self.name = name
        self.slots = slots
        self._node = node
        self._timeout = timeout

    async def scan(self, prefix: str, cursor: str, limit: int) -> tuple[list[str], str]:
        """Run one SCAN. See `KeyServer.scan`."""
        pattern = prefix.translate(_GLOB) + "*"
        command = (b"SCAN", cursor or b"0", b"MATCH", pattern, b"COUNT", limit)
        following, found = await _query(self._node, command, self._timeout)
        names = [bytes(key).decode("utf-8", "surrogateescape") for key in found]
        return names, "" if bytes(following) == b"0" else bytes(following).decode()


async def servers(client: Client) -> list[RedisServer]:
    """Return the primaries of a store."""
    await _discover_cluster(client)
    topology, timeout = client.topology(), client.timeout
    owned = await _owners(topology, timeout)
    return [
        RedisServer(node, await _run_id(node, timeout), slots + await _moving(node, timeout), timeout)
        for node, slots in owned
    ]


async def _discover_cluster(client: Client) -> None:
    """Call many slots, so that the single address of a cluster turns out to be one."""
    if not client.topology().slotted:
        probes = [f"{{{keys.tag(bucket)}}}" for bucket in range(0, ids.BUCKETS, 16)]
        await asyncio.gather(*[client.run((b"EXISTS", key), "exists", True, key, read_only=True) for key in probes])


async def _owners(topology: Topology, seconds: float) -> list[tuple[Node, str]]:
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        if not topology.slotted:
            return [(await topology.route(None, read_only=False, deadline=deadline), "all")]
        nodes = [await topology.route(slot, read_only=True, deadline=deadline) for slot in range(SLOTS)]
    except NotSentError as error:
        raise SessionUnavailableError(f"scan: no connection: {error}") from error
    slots: dict[Node, list[int]] = {}
    for slot, node in enumerate(nodes):
        slots.setdefault(node, []).append(slot)
    return [(node, _ranges(own)) for node, own in slots.items()]


def _ranges(slots: Iterable[int]) -> str:
    """Return ascending numbers as ranges, such as `0-99,200-300`."""
    runs = (list(run) for _, run in groupby(enumerate(slots), lambda pair: pair[1] - pair[0]))
    return ",".join(f"{run[0][1]}-{run[-1][1]}" for run in runs)


async def _run_id(node: Node, seconds: float) -> str:
    """Return the id of the server's process; its address, if the user may not run INFO."""
    try:
        reply = await _query(node, (b"INFO", b"server"), seconds)
    except ProviderError as error:
        if isinstance(error, SessionUnavailableError):
            raise
        return str(node.address)
    return server_info.parse(bytes(reply)).get("run_id", str(node.address))


async def _moving(node: Node, seconds: float) -> str:
    """Return the marks of the slots that are being moved to or from a node of a cluster; an empty text for none."""
    try:
        lines = bytes(await _query(node, (b"CLUSTER", b"NODES"), seconds)).decode().splitlines()
    except SessionUnavailableError:
        raise
    except ProviderError:
        # It is no cluster, or the user may not ask.
        return ""
    own = next((line for line in lines if "myself" in line.split(" ")[2]), "")
    marks = [word for word in own.split(" ") if word.startswith("[")]
    return f"{MOVING}{' '.join(marks)}" if marks else ""


async def _query(node: Node, command: Command, seconds: float) -> Any:
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        return await node.call((command,), deadline)
    except (NotSentError, ReplyLostError) as error:
        raise SessionUnavailableError(f"scan: {node.address} does not answer: {error}") from error
    except ReplyError as error:
        kind = SessionUnavailableError if error.code in ("LOADING", "MASTERDOWN", "CLUSTERDOWN") else ProviderError
        raise kind(f"scan: {node.address} replied: {error}") from error
