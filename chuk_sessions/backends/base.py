"""The seam between what an operation means and what carries it out."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ..models import Health

Arg = bytes | int
"""An ARGV element: bytes as they are, whole numbers as decimal text."""

Reply = list[Any]
"""A status (see `statuses`), and what belongs to it: int, bytes, or a list of bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One script and its twin: what it is called, what it takes, and what a caller may do with it.

    Attributes:
        name: of `lua/NAME.lua` and `backends/memory/twins/NAME.py`.
        keys: names of the KEYS in order, as the script's header has them.
        args: names of the ARGV in order, likewise.
        statuses: those that its reply may begin with.
        read_only: it writes nothing.
        repeatable: it may be sent again when its reply was lost. Otherwise that is an OutcomeUnknownError.
        unless_arg: name of the ARGV element that, when it is not empty, takes that back.
        once_arg: name of the ARGV element that holds an operation id; when that is not empty, a repeat is harmless.
        large_reply: its reply can be as large as a session.
        durable: a store that can wait for its replicas does so before it acknowledges this, where that is asked for.
        after_repeat: what a status of a repeated call means, where it is not what it says: a delete that finds nothing
            the second time has most likely found something the first time.

    """

    name: str
    keys: tuple[str, ...]
    args: tuple[str, ...]
    statuses: frozenset[int]
    read_only: bool = False
    repeatable: bool = False
    unless_arg: str | None = None
    once_arg: str | None = None
    large_reply: bool = False
    durable: bool = False
    after_repeat: dict[int, int] = field(default_factory=dict)

    def may_repeat(self, argv: Sequence[Arg]) -> bool:
        """Whether a call with these arguments may be sent again when its reply was lost."""
        if self.unless_arg is not None and argv[self.args.index(self.unless_arg)] != b"":
            return False
        return self.repeatable or (self.once_arg is not None and argv[self.args.index(self.once_arg)] != b"")


class Call(NamedTuple):
    """An operation with its keys and arguments: all that a backend needs."""

    operation: Operation
    keys: Sequence[str]
    argv: Sequence[Arg]


Renew = Callable[[], Sequence[Call]]
"""Gives what is sent in the place of a call whose reply was lost, all in one slot: what undoes the lost attempt, should
it have been applied, and last the call anew. Undoing may fail, and nobody hears of it.
"""


class Store(Protocol):
    """The provider API of one open session: single values under keys that are taken as given.

    `ttl` is in seconds, a positive number of at most a hundred years (ValueError). Values are text, or bytes that are
    UTF-8 (ValueError); `get` and `getdel` give text.
    """

    async def set(self, key: str, value: str | bytes) -> None:
        """Store with the default TTL."""

    async def setex(self, key: str, ttl: float, value: str | bytes) -> None:
        """Store for `ttl` seconds."""

    async def get(self, key: str) -> str | None:
        """The value, or None."""

    async def getdel(self, key: str) -> str | None:
        """The value, which is gone then: of many callers one has it."""

    async def delete(self, key: str) -> bool:
        """Whether there was something to delete."""

    async def close(self) -> None:
        """Nothing is held open for one session; here for symmetry."""


class Backend(Protocol):
    """Runs operations. Safe to share between tasks, threads and event loops."""

    name: str

    def run(
        self, operation: Operation, keys: Sequence[str], argv: Sequence[Arg], renew: Renew | None = None
    ) -> Coroutine[Any, Any, Reply]:
        """Run one operation in one atomic step. Raises errors under ProviderError, never for a status.

        After a lost reply a repeat is what `renew` gives, where that is given, and the reply is that of the last one
        given. Otherwise it is the same call.
        """

    async def ping(self) -> Health:
        """Ask the store whether it answers, and how it is. Raises errors under ProviderError when it does not."""

    async def aclose(self) -> None:
        """Close what this event loop holds open. A later `run` opens it again."""
