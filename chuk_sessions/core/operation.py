"""Operations, and calls of them: what the engine builds and a backend runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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


RetryCalls = Callable[[], Sequence[Call]]
"""Gives what is sent in the place of a call whose reply was lost, all in one slot: what undoes the lost attempt, should
it have been applied, and last the call anew. Undoing may fail, and nobody hears of it.
"""
