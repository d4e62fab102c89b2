"""Interleaving: in each round everybody has a turn, beginning with another one each time, so that what else the machine
does meanwhile meets all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.report.results import Row

from .process import Sample


class Asked(Protocol):
    """A Worker, or what can be asked like one."""

    def can(self, operation: str) -> bool:
        """Whether it has that operation."""

    def ask(self, operation: str, callers: int, seconds: float) -> Sample:
        """Measure."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure.

    Attributes:
        server: the server's binary.
        rounds: turns that each has.
        seconds: of each turn.
        long: measure the large cases, too.

    """

    server: Path
    rounds: int
    seconds: float
    long: bool


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure: one row."""

    section: str
    work: str
    callers: int
    loop: str = "uvloop"

    @property
    def case(self) -> str:
        """As the row has it."""
        return case(self.callers, self.loop)


def case(callers: int, loop: str = "uvloop") -> str:
    """`100 callers, uvloop`."""
    return f"{callers or 1} caller{'s' if callers > 1 else ''}, {loop}"


def take_turns(settings: Settings, task: Task, peers: Mapping[str, Asked], seconds: float | None = None) -> Row:
    """Measure one row."""
    able = [(name, peer) for name, peer in peers.items() if peer.can(task.work)]
    row = Row(task.section, task.work, task.case, {name: [] for name, _ in able})
    print(f"{task.section}: {task.work}, {task.case}", file=sys.stderr)
    for number in range(settings.rounds):
        for name, peer in _turned(able, number):
            row.samples[name].append(peer.ask(task.work, task.callers, seconds or settings.seconds))
    return row


def _turned(able: Sequence[tuple[str, Asked]], number: int) -> list[tuple[str, Asked]]:
    first = number % max(1, len(able))
    return [*able[first:], *able[:first]]


def enter(stack: ExitStack, workers: Mapping[str, AbstractContextManager[Any]]) -> dict[str, Any]:
    """Have them closed with the stack."""
    return {name: stack.enter_context(worker) for name, worker in workers.items()}
