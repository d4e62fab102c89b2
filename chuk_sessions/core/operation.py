"""Operations and calls of them: the engine builds calls, and a backend runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Arg = bytes | int
"""An ARGV element: bytes are sent unchanged, whole numbers as decimal text."""

Reply = list[Any]
"""A status (see `statuses`) and its data: int, bytes, or a list of bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """A script and its twin: their name, keys, arguments and statuses, and the traits that backends act on.

    Attributes:
        name: the name of its script, `lua/NAME.lua`, and of its twin, `backends/memory/twins/NAME.py`.
        keys: names of the KEYS, in the order of the script's header.
        args: names of the ARGV elements, in the order of the script's header.
        statuses: the statuses that its reply may begin with.
        read_only: it writes nothing.
        retryable: it may be sent again after its reply was lost. Without this a lost reply is an OutcomeUnknownError.
        not_retryable_arg: name of the ARGV element whose value, unless empty, prevents a retry of the call.
        operation_id_arg: name of the ARGV element for an operation id; a call that has one is retryable, because the
            script applies it only once.
        needs_index: it reads an index of sessions, which custom providers do not have.
        needs_index_arg: name of the ARGV element that makes the call read an index, unless its value is 0.
        large_reply: its reply can be as large as a session.
        durable: with `wait_replicas`, a call returns only after that many replicas have acknowledged its writes.
        command: the plain command that the server runs instead of a script, on the first key, with ARGV as arguments.
            It only reads. The reply is OK and the command's own reply, or CORRUPT for a key of another type.
        status_after_retry: statuses of a retried call that mean another one. For example, a delete that finds no
            session the second time has most likely deleted it the first time.

    """

    name: str
    keys: tuple[str, ...]
    args: tuple[str, ...]
    statuses: frozenset[int]
    read_only: bool = False
    retryable: bool = False
    not_retryable_arg: str | None = None
    operation_id_arg: str | None = None
    needs_index: bool = False
    needs_index_arg: str | None = None
    large_reply: bool = False
    durable: bool = False
    command: str = ""
    status_after_retry: dict[int, int] = field(default_factory=dict)

    def may_retry(self, argv: Sequence[Arg]) -> bool:
        """Return whether a call with these arguments may be sent again after its reply was lost."""
        if self.not_retryable_arg is not None and self._arg(self.not_retryable_arg, argv) != b"":
            return False
        return self.retryable or (self.operation_id_arg is not None and self._arg(self.operation_id_arg, argv) != b"")

    def reads_index(self, argv: Sequence[Arg]) -> bool:
        """Return whether a call with these arguments reads an index of sessions."""
        return self.needs_index or (self.needs_index_arg is not None and self._arg(self.needs_index_arg, argv) != 0)

    def _arg(self, name: str, argv: Sequence[Arg]) -> Arg:
        position = self.args.index(name)
        # Arguments at the end may be left out.
        return argv[position] if position < len(argv) else b""


def names(text: str) -> tuple[str, ...]:
    """Return the names in a text, for `keys` and `args`."""
    return tuple(text.split())


class Call(NamedTuple):
    """An operation with its keys and arguments: all that a backend needs."""

    operation: Operation
    keys: Sequence[str]
    argv: Sequence[Arg]


new_call = tuple.__new__
"""Builds a `Call` in a third of the time that the constructor of a named tuple takes. For frequent calls."""

RetryCalls = Callable[[], Sequence[Call]]
"""Returns the calls to send instead of a call whose reply was lost. All are in one slot. The last is the call to retry;
those before it undo the lost attempt, in case it was applied. A failure to undo is ignored.
"""
