"""The operations on endpoints and their queues: an entry for each script, and a function that builds its calls.

An endpoint is a receiver of messages outside of the store. Its queue keeps each message until it was delivered or,
after the last attempt, as a dead letter. Descriptions and messages are bytes that scripts never look into.

A message has an id of at least two bytes. Whoever takes a message has it until its lease ends or it is settled. In an
ordered queue, only the first message can be taken, and the others wait until it was delivered or is a dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from . import keys
from . import statuses as s
from .index_operations import Cursor
from .operation import Call, Operation, Reply, names

MOST_DEAD: Final = 10_000
"""Number of dead letters that an endpoint keeps, the latest ones."""

ENDPOINTS = Operation(
    "endpoints",
    names("endpoints"),
    (),
    s.DONE | {s.CORRUPT},
    read_only=True,
    retryable=True,
    needs_index=True,
    large_reply=True,
    command="HGETALL",
)
CONFIGURE = Operation(
    "configure",
    names("endpoints messages waiting dead"),
    names("endpoint expected text"),
    s.DONE | {s.MISMATCH},
    retryable=True,
    needs_index=True,
    durable=True,
)
ENQUEUE = Operation(
    "enqueue",
    names("endpoints messages waiting"),
    names("endpoint limit ordered rest"),
    s.DONE | {s.GONE},
    retryable=True,
    needs_index=True,
    durable=True,
)
TAKE = Operation(
    "take",
    names("messages waiting"),
    names("limit lease ordered"),
    s.DONE,
    retryable=True,
    needs_index=True,
    large_reply=True,
)
SETTLE = Operation(
    "settle",
    names("messages waiting dead"),
    names("message claim ordered text delay most"),
    s.DONE | {s.GONE},
    retryable=True,
    needs_index=True,
)
LETTERS = Operation(
    "letters",
    names("messages dead"),
    names("limit score after"),
    s.DONE,
    read_only=True,
    retryable=True,
    needs_index=True,
    large_reply=True,
)
RESEND = Operation(
    "resend", names("messages waiting dead"), names("ordered rest"), s.DONE, retryable=True, needs_index=True
)


class Taken(NamedTuple):
    """Messages that were taken from a queue.

    Attributes:
        now: the time, ms.
        claim: when they are due again, ms. `settle` compares it, so that only the holder of a message plans its next
            attempt.
        next_due: when another message is due, ms; 0 if none waits.
        messages: id and text of each.

    """

    now: int
    claim: int
    next_due: int
    messages: list[tuple[bytes, bytes]]


def endpoints() -> Call:
    """Read the descriptions of all endpoints."""
    return Call(ENDPOINTS, (keys.endpoints(),), ())


def configure(endpoint_id: str, expected: bytes, text: bytes) -> Call:
    """Replace the description of an endpoint if it is the expected one (empty: there is none). An empty text removes
    the endpoint with its queue.
    """
    return Call(CONFIGURE, keys.queue(endpoint_id), (endpoint_id.encode(), expected, text))


def enqueue(endpoint_id: str, messages: Sequence[tuple[bytes, bytes]], *, limit: int, ordered: bool = False) -> Call:
    """Add messages, each an id and a text, until as many as `limit` wait."""
    own = keys.queue(endpoint_id)
    flat = [part for message in messages for part in message]
    return Call(ENQUEUE, (own.endpoints, own.messages, own.waiting), (endpoint_id.encode(), limit, int(ordered), *flat))


def take(endpoint_id: str, *, limit: int, lease_ms: int, ordered: bool = False) -> Call:
    """Take messages that are due, at most `limit`, for the time of the lease."""
    own = keys.queue(endpoint_id)
    return Call(TAKE, (own.messages, own.waiting), (limit, lease_ms, int(ordered)))


def settle(
    endpoint_id: str,
    message_id: bytes,
    claim: int,
    *,
    ordered: bool = False,
    text: bytes = b"",
    delay_ms: int | None = None,
    most_dead: int = MOST_DEAD,
) -> Call:
    """Remove a message that was delivered. With a text, try again after a delay, or without one make it a dead letter.

    Only whoever has the message may plan an attempt, as `claim` shows.
    """
    own = keys.queue(endpoint_id)
    delay = b"" if delay_ms is None else delay_ms
    argv = (message_id, claim, int(ordered), text, delay, most_dead)
    return Call(SETTLE, (own.messages, own.waiting, own.dead), argv)


def letters(endpoint_id: str, limit: int, after: Cursor = ()) -> Call:
    """List a page of the dead letters, oldest first."""
    own = keys.queue(endpoint_id)
    return Call(LETTERS, (own.messages, own.dead), (limit, *after))


def resend(endpoint_id: str, messages: Sequence[tuple[bytes, bytes]], *, ordered: bool = False) -> Call:
    """Move dead letters, each an id and its new text, to the end of the queue."""
    own = keys.queue(endpoint_id)
    flat = [part for message in messages for part in message]
    return Call(RESEND, (own.messages, own.waiting, own.dead), (int(ordered), *flat))


def taken(reply: Reply) -> Taken:
    """Return the messages in a reply of TAKE."""
    _, now, claim, next_due, flat = reply
    return Taken(now, claim, next_due, list(zip(flat[::2], flat[1::2], strict=True)))


def letters_of(reply: Reply) -> list[tuple[bytes, bytes, int]]:
    """Return the dead letters in a reply of LETTERS: id, text, and time (ms) of each."""
    flat = reply[1]
    return [(*letter, int(time)) for *letter, time in zip(flat[::3], flat[1::3], flat[2::3], strict=True)]
