"""An endpoint and its queue, for tests of the operations on queues."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from chuk_sessions.core import queue_operations
from chuk_sessions.core.operation import Reply
from chuk_sessions.core.queue_operations import Taken

from .worlds import World

ENDPOINT = "receiver"
LEASE_MS = 1000


class Queue:
    """A queue on a backend, ordered or not."""

    def __init__(self, world: World, *, ordered: bool = False, endpoint: str = ENDPOINT) -> None:
        self._run = world.backend.run
        self._endpoint, self._ordered = endpoint, ordered
        self.configure = partial(queue_operations.configure, endpoint)

    async def create(self) -> None:
        """Create the endpoint."""
        await self._run(self.configure(b"", b"description"))

    async def remove(self) -> None:
        """Remove the endpoint."""
        await self._run(self.configure(b"description", b""))

    async def enqueue(self, *names: str, limit: int = 100) -> Reply:
        """Add messages with these ids."""
        messages = [(name.encode(), f"text of {name}".encode()) for name in names]
        call = queue_operations.enqueue(self._endpoint, messages, limit=limit, ordered=self._ordered)
        return await self._run(call)

    async def take(self, limit: int = 10, lease_ms: int = LEASE_MS) -> Taken:
        """Take messages."""
        call = queue_operations.take(self._endpoint, limit=limit, lease_ms=lease_ms, ordered=self._ordered)
        return queue_operations.taken(await self._run(call))

    async def taken(self, limit: int = 10) -> list[str]:
        """Take messages, and return their ids."""
        return [message.decode() for message, _ in (await self.take(limit)).messages]

    async def settle(
        self, name: str, claim: int, text: str = "", delay_ms: int | None = None, most_dead: int = 100
    ) -> int:
        """Settle a message, and return the status."""
        call = queue_operations.settle(
            self._endpoint, name.encode(), claim,
            ordered=self._ordered, text=text.encode(), delay_ms=delay_ms, most_dead=most_dead,
        )  # fmt: skip
        status: int = (await self._run(call))[0]
        return status

    async def bury(self, *names: str, most_dead: int = 100) -> None:
        """Make messages dead letters that are due next, in this order."""
        for name in names:
            taken = await self.take(1)
            assert [message for message, _ in taken.messages] == [name.encode()]
            await self.settle(name, taken.claim, "failed", most_dead=most_dead)

    async def resend(self, names: Iterable[str]) -> int:
        """Move dead letters back, and return how many there were."""
        messages = [(name.encode(), b"again") for name in names]
        reply = await self._run(queue_operations.resend(self._endpoint, messages, ordered=self._ordered))
        moved: int = reply[1]
        return moved

    async def letters(self, limit: int = 100, after: tuple[bytes, ...] = ()) -> tuple[list[str], tuple[bytes, ...]]:
        """Return a page of dead letters, and the cursor of the next one."""
        reply = await self._run(queue_operations.letters(self._endpoint, limit, after))
        return [message.decode() for message, _, _ in queue_operations.letters_of(reply)], tuple(reply[2:])


async def new_queue(world: World, *, ordered: bool = False) -> Queue:
    """Return the queue of a new endpoint."""
    queue = Queue(world, ordered=ordered)
    await queue.create()
    return queue
