"""Twin of `lua/settle.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import GONE, OK
from ..keyspace import Keyspace
from .include import parse_int


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Remove a message that was delivered; or plan the next attempt, or make it a dead letter."""
    messages, waiting, dead = keys
    message, claim, ordered, text, delay, most = argv
    score = space.zscore(waiting, message)
    if score is None:
        return [GONE]
    held = (parse_int(space.hash(messages).get(b"n")) if ordered else score) == claim
    if not text:
        space.zrem(waiting, message)
        space.hdel_or_delete(messages, [message, b"n"] if ordered and held else [message])
        return [OK]
    if not held:
        return [GONE]
    space.hset(messages, {message: text})
    if delay != b"":
        _plan(space, messages, waiting, message, space.now + delay, ordered)
        return [OK]
    space.zrem(waiting, message)
    if ordered:
        space.hdel_or_delete(messages, [b"n"])
    space.zadd(dead, space.now, message)
    for oldest in space.zrangebyscore(dead, 0, None, max(0, space.zcard(dead) - most)):
        space.zrem(dead, oldest)
        space.hdel_or_delete(messages, [oldest])
    return [OK]


def _plan(space: Keyspace, messages: str, waiting: str, message: bytes, due: int, ordered: int) -> None:
    if ordered:
        space.hset(messages, {b"n": due})
    else:
        space.zadd(waiting, due, message)
