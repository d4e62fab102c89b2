"""Interleaved rounds: in each round every peer measures once, and a different peer goes first.

Other load on the machine thus affects all peers alike.
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


class Measurable(Protocol):
    """A Worker, or anything else that measures on request."""

    def supports(self, operation: str) -> bool:
        """Return whether it has that operation."""

    def measure(self, operation: str, callers: int, seconds: float) -> Sample:
        """Measure an operation."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of a run.

    Attributes:
        server: the path of the server's binary.
        rounds: the number of samples per peer.
        seconds: the length of each sample.
        long: whether to measure the large cases, too.
        nodes: the numbers of cluster nodes of the suite cores.
        processes: the numbers of client processes of the suite cores.

    """

    server: Path
    rounds: int
    seconds: float
    long: bool
    nodes: tuple[int, ...] = (1, 2)
    processes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, slots=True)
class Task:
    """One row to measure. With 0 callers there is one, whose calls are timed in chunks (see `peers/worker.py`)."""

    section: str
    operation: str
    callers: int
    loop: str = "uvloop"

    @property
    def case(self) -> str:
        """The case, as the row names it."""
        return case(self.callers, self.loop)


def case(callers: int, loop: str = "uvloop") -> str:
    """Name a case, such as `100 callers, uvloop`."""
    return f"{callers or 1} caller{'s' if callers > 1 else ''}, {loop}"


def measure_rounds(
    settings: RunSettings, task: Task, peers: Mapping[str, Measurable], seconds: float | None = None
) -> Row:
    """Measure one row, on the peers that support its operation."""
    able = [(name, peer) for name, peer in peers.items() if peer.supports(task.operation)]
    row = Row(task.section, task.operation, task.case, {name: [] for name, _ in able})
    print(f"{task.section}: {task.operation}, {task.case}", file=sys.stderr)
    for number in range(settings.rounds):
        for name, peer in _rotated(able, number):
            row.samples[name].append(peer.measure(task.operation, task.callers, seconds or settings.seconds))
    return row


def _rotated(peers: Sequence[tuple[str, Measurable]], number: int) -> list[tuple[str, Measurable]]:
    first = number % max(1, len(peers))
    return [*peers[first:], *peers[:first]]


def enter_all(stack: ExitStack, workers: Mapping[str, AbstractContextManager[Any]]) -> dict[str, Any]:
    """Enter all workers, so that the stack closes them."""
    return {name: stack.enter_context(worker) for name, worker in workers.items()}
