"""Asks a server what it does when its memory is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from .connection import Connection
from .resp import pack


def ask_policy(link: Connection, seen: Callable[[str], None], deadline: float) -> None:
    """Ask with the next call on the link, and tell `seen`. Not told when the server does not say (its ACL, say)."""
    link.send(pack((b"INFO", b"memory")), deadline).add_done_callback(partial(_read, seen))


def _read(seen: Callable[[str], None], reply: asyncio.Future[Any]) -> None:
    if reply.cancelled() or reply.exception() is not None:
        return
    for line in bytes(reply.result()).decode(errors="replace").splitlines():
        name, _, policy = line.partition(":")
        if name == "maxmemory_policy":
            seen(policy)
