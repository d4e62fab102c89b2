"""The store of endpoints and of their queues."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ...core import queue_operations, statuses
from ...core.index_operations import Cursor
from ...core.operation import Call, Reply
from ...exceptions import CorruptRecordError, SessionConflictError, SessionError
from ..decoding import OwnerEncryption
from ..source import Source
from .endpoint import DeadLetter, Endpoint, endpoint_of
from .sealing import Sealer

logger = logging.getLogger("chuk_sessions.events")

MAX_WAITING: Final = 10_000
"""Most messages that wait in a queue. Beyond that, events stay in the stream of the store."""

_PAGE: Final = 500
_MAX_CHANGES: Final = 64


@dataclass(frozen=True, slots=True)
class Message:
    """A message in a queue.

    Attributes:
        id: the id of the event.
        content: the content to send, as a dict.
        attempts: the number of failed attempts.
        first_attempt_at: when the first attempt failed, in ms since 1970; 0 if none has failed.
        last_error: the reason why the last attempt failed.

    """

    id: str
    content: dict[str, Any]
    attempts: int = 0
    first_attempt_at: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that were taken from a queue.

    Attributes:
        now: the time of the store, ms since 1970.
        claim: the proof that this process has taken them.
        next_due: when another message is due, in ms since 1970; 0 if none waits.
        messages: the messages.

    """

    now: int
    claim: int
    next_due: int
    messages: list[Message]


class EndpointStore:
    """The endpoints of a store, and their queues. Methods raise subclasses of ProviderError when the store fails."""

    def __init__(self, source: Source, encryption: OwnerEncryption | None = None) -> None:
        self._source = source
        self._sealer = Sealer(encryption)

    async def load(self) -> dict[str, Endpoint]:
        """Return all endpoints. Those that cannot be read are logged and left out."""
        return {endpoint.id: endpoint for endpoint, _ in (await self._load()).values()}

    async def exists(self, endpoint_id: str) -> bool:
        """Return whether there is an endpoint, even one that cannot be read."""
        _, flat = await self._run(queue_operations.endpoints())
        return endpoint_id.encode() in flat[::2]

    async def _load(self) -> dict[str, tuple[Endpoint, bytes]]:
        _, flat = await self._run(queue_operations.endpoints())
        found = {}
        for name, stored in zip(flat[::2], flat[1::2], strict=True):
            endpoint_id = name.decode("utf-8", "replace")
            try:
                found[endpoint_id] = endpoint_of(endpoint_id, self._sealer.open(stored)), stored
            except SessionError as error:
                logger.error("the endpoint %s cannot be read: %s", endpoint_id, error)
        return found

    async def create(self, endpoint: Endpoint) -> None:
        """Store a new endpoint."""
        await self._run(queue_operations.configure(endpoint.id, b"", self._sealer.seal(endpoint.to_dict())))

    async def change(self, endpoint_id: str, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
        """Apply a change to an endpoint, and return the result. Concurrent changes are not lost.

        Raises:
            ValueError: there is no such endpoint.

        """
        for _ in range(_MAX_CHANGES):
            before, stored = await self._find(endpoint_id)
            after = change(before)
            if after == before:
                return after
            call = queue_operations.configure(endpoint_id, stored, self._sealer.seal(after.to_dict()))
            if (await self._run(call))[0] == statuses.OK:
                return after
        raise SessionConflictError("the endpoint was changed too often at the same time")

    async def remove(self, endpoint_id: str) -> bool:
        """Remove an endpoint with its queue. Returns whether it existed."""
        for _ in range(_MAX_CHANGES):
            _, flat = await self._run(queue_operations.endpoints())
            stored = dict(zip(flat[::2], flat[1::2], strict=True)).get(str(endpoint_id).encode())
            if stored is None:
                return False
            if (await self._run(queue_operations.configure(endpoint_id, stored, b"")))[0] == statuses.OK:
                return True
        raise SessionConflictError("the endpoint was changed too often at the same time")

    async def get(self, endpoint_id: str) -> Endpoint:
        """Return an endpoint. Raises ValueError if it does not exist."""
        return (await self._find(endpoint_id))[0]

    async def enqueue(self, endpoint: Endpoint, messages: Sequence[Message]) -> int:
        """Add messages to the queue. Returns how many of them, from the first on, the queue now has.

        The messages for an endpoint that was removed are dropped, and count as added.
        """
        pairs = [(message.id.encode(), self._seal(message)) for message in messages]
        call = queue_operations.enqueue(endpoint.id, pairs, limit=MAX_WAITING, ordered=endpoint.ordered)
        reply = await self._run(call)
        return len(messages) if reply[0] == statuses.GONE else int(reply[1])

    async def take(self, endpoint: Endpoint, limit: int, lease_ms: int) -> Batch:
        """Take messages that are due. Damaged messages become dead letters."""
        call = queue_operations.take(endpoint.id, limit=limit, lease_ms=lease_ms, ordered=endpoint.ordered)
        taken = queue_operations.taken(await self._run(call))
        messages = []
        for message_id, stored in taken.messages:
            try:
                messages.append(self._open(message_id, stored))
            except CorruptRecordError:
                logger.error("a message for the endpoint %s is damaged", endpoint.id)
                settle = queue_operations.settle(
                    endpoint.id, message_id, taken.claim, ordered=endpoint.ordered, text=stored or b"{}"
                )
                await self._run(settle)
            except SessionError as error:
                logger.error("a message for the endpoint %s cannot be read yet: %s", endpoint.id, error)
        return Batch(taken.now, taken.claim, taken.next_due, messages)

    async def delivered(self, endpoint: Endpoint, message: Message, claim: int) -> None:
        """Remove a message that was delivered."""
        await self._run(queue_operations.settle(endpoint.id, message.id.encode(), claim, ordered=endpoint.ordered))

    async def failed(self, endpoint: Endpoint, message: Message, claim: int, delay_ms: int | None) -> None:
        """Store a message after a failed attempt, and schedule the next one; None makes it a dead letter."""
        call = queue_operations.settle(
            endpoint.id, message.id.encode(), claim,
            ordered=endpoint.ordered, text=self._seal(message), delay_ms=delay_ms,
        )  # fmt: skip
        await self._run(call)

    async def dead_letters(self, endpoint_id: str) -> list[DeadLetter]:
        """Return all dead letters, the oldest first. Damaged ones are left out.

        Raises KeyUnavailableError if one is encrypted under a key that is not available.
        """
        found: list[DeadLetter] = []
        after: Cursor = ()
        while True:
            reply = await self._run(queue_operations.letters(endpoint_id, _PAGE, after))
            for message_id, stored, time in queue_operations.letters_of(reply):
                try:
                    message = self._open(message_id, stored)
                except CorruptRecordError:
                    continue
                found.append(DeadLetter(message.id, message.content, message.attempts, message.last_error, time))
            after = tuple(reply[2:])
            if not after:
                return found

    async def resend(self, endpoint: Endpoint, letters: list[DeadLetter]) -> int:
        """Move dead letters back to the queue. Returns their number."""
        moved = 0
        for first in range(0, len(letters), _PAGE):
            page = [Message(letter.id, letter.content) for letter in letters[first : first + _PAGE]]
            pairs = [(message.id.encode(), self._seal(message)) for message in page]
            moved += (await self._run(queue_operations.resend(endpoint.id, pairs, ordered=endpoint.ordered)))[1]
        return moved

    async def _find(self, endpoint_id: str) -> tuple[Endpoint, bytes]:
        found = (await self._load()).get(endpoint_id)
        if found is None:
            raise ValueError(f"there is no endpoint {endpoint_id!r}")
        return found

    async def _run(self, call: Call) -> Reply:
        reply = await self._source.backend.run(call)
        if reply[0] != statuses.MISMATCH:
            statuses.check(call.operation, reply)
        return reply

    def _seal(self, message: Message) -> bytes:
        return self._sealer.seal(
            {"c": message.content, "n": message.attempts, "f": message.first_attempt_at, "e": message.last_error}
        )

    def _open(self, message_id: bytes, stored: bytes) -> Message:
        found = self._sealer.open(stored)
        try:
            return Message(message_id.decode(), found["c"], found["n"], found["f"], found["e"])
        except (KeyError, UnicodeDecodeError):
            raise CorruptRecordError("a stored message is damaged") from None


def after_failure(message: Message, now: int, error: str) -> Message:
    """Return a message after another attempt has failed."""
    first = message.first_attempt_at or now
    return replace(message, attempts=message.attempts + 1, first_attempt_at=first, last_error=error)
