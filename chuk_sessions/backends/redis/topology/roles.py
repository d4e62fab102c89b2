"""Queries for the role of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import Enum
from typing import Any

from ..net.connection import Connection
from ..net.node import Node
from ..net.resp import NotSentError, ReplyError, ReplyLostError, pack

_ROLE = (b"ROLE",)
_PACKED_ROLE = pack(_ROLE)
_REFUSED_CODES = frozenset({"NOPERM", "ERR"})


class Role(Enum):
    """The role of a server."""

    PRIMARY = "takes writes"
    REPLICA = "replicates a primary, or tries to"
    UNKNOWN = "did not say"
    REFUSED = "does not have the command, or this user may not run it"


async def roles_on(connections: Iterable[Connection], seconds: float, deadline: float) -> set[Role]:
    """Return the roles that the servers of these connections report within so many seconds.

    The connections time out at `deadline`, like those of any call. So a slow reply does not cost other calls their
    connection.
    """
    replies = [connection.send(_PACKED_ROLE, deadline) for connection in connections]
    if not replies:
        return set()
    for reply in replies:
        reply.add_done_callback(_retrieve_exception)
    try:
        done, _ = await asyncio.wait(replies, timeout=seconds)
    finally:
        for reply in replies:
            reply.cancel()  # if it has not arrived: a connection that closes waits for replies that somebody waits for
    return {_role_in(reply) for reply in done}


async def role_of(node: Node, deadline: float) -> Role:
    """Return the role of the server at the node's first connection. Raises NotSentError and ReplyError."""
    try:
        return _role(await node.call((_ROLE,), deadline, internal=True))
    except ReplyLostError as lost:
        raise NotSentError(f"{node.address} has not reported its role: {lost}") from lost
    except ReplyError as refused:
        if refused.code in _REFUSED_CODES:
            return Role.REFUSED
        raise


def _retrieve_exception(reply: asyncio.Future[Any]) -> None:
    """Keep asyncio from logging a failure that nobody awaits any more."""
    if not reply.cancelled():
        reply.exception()


def _role_in(reply: asyncio.Future[Any]) -> Role:
    failure = reply.exception()
    if failure is None:
        return _role(reply.result())
    return Role.REFUSED if isinstance(failure, ReplyError) and failure.code in _REFUSED_CODES else Role.UNKNOWN


def _role(reply: Any) -> Role:
    return {b"master": Role.PRIMARY, b"slave": Role.REPLICA}.get(reply[0], Role.UNKNOWN)
