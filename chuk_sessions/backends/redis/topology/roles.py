"""What a server says about its role."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import Enum
from typing import Any

from ..net.connection import Connection
from ..net.node import Node
from ..net.resp import NotSentError, ReplyError, ReplyLostError, pack

_ROLE = (b"ROLE",)
_PACKED = pack(_ROLE)
_REFUSALS = frozenset({"NOPERM", "ERR"})


class Role(Enum):
    """The role of a server."""

    PRIMARY = "takes writes"
    REPLICA = "follows a primary, or tries to"
    UNKNOWN = "does not say"
    REFUSED = "has no such command, or this user may not run it"


async def roles_on(links: Iterable[Connection], patience: float, deadline: float) -> set[Role]:
    """Return the roles that the servers at these connections name within `patience` seconds.

    The deadline is that of any call, so that other calls on the connections do not suffer from the shorter patience.
    """
    replies = [link.send(_PACKED, deadline) for link in links]
    if not replies:
        return set()
    for reply in replies:
        reply.add_done_callback(_retrieve)
    done, pending = await asyncio.wait(replies, timeout=patience)
    for reply in pending:
        reply.cancel()
    return {_role_in(reply) for reply in done}


async def role_of(node: Node, deadline: float) -> Role:
    """Return the role of the server that the node's first connection leads to. Raises NotSentError and ReplyError."""
    try:
        return _role(await node.call((_ROLE,), deadline, internal=True))
    except ReplyLostError as lost:
        raise NotSentError(f"{node.address} has not said its role: {lost}") from lost
    except ReplyError as refused:
        if refused.code in _REFUSALS:
            return Role.REFUSED
        raise


def _retrieve(reply: asyncio.Future[Any]) -> None:
    """Keep asyncio from complaining about a failure that came too late for anybody to see it."""
    if not reply.cancelled():
        reply.exception()


def _role_in(reply: asyncio.Future[Any]) -> Role:
    failure = reply.exception()
    if failure is None:
        return _role(reply.result())
    return Role.REFUSED if isinstance(failure, ReplyError) and failure.code in _REFUSALS else Role.UNKNOWN


def _role(reply: Any) -> Role:
    return {b"master": Role.PRIMARY, b"slave": Role.REPLICA}.get(reply[0], Role.UNKNOWN)
