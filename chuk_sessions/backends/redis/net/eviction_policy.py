"""A server's eviction policy: what it does when its memory is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from ....core import server_info
from .connection import Connection
from .resp import pack


def request_eviction_policy(connection: Connection, on_policy: Callable[[str], None], deadline: float) -> None:
    """Send INFO with the connection's next call, and call `on_policy` with the maxmemory-policy.

    `on_policy` is not called if the server does not report the policy, for example because its ACL forbids INFO.
    """
    connection.send(pack((b"INFO", b"memory")), deadline).add_done_callback(partial(_on_reply, on_policy))


def _on_reply(on_policy: Callable[[str], None], reply: asyncio.Future[Any]) -> None:
    if reply.cancelled() or reply.exception() is not None:
        return
    policy = server_info.parse(bytes(reply.result())).get("maxmemory_policy")
    if policy is not None:
        on_policy(policy)
