"""The case: all that is known about a store while it is examined. Checks read it and yield verdicts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..backends.base import Backend
from ..core.inspection import Inspection, Part
from ..core.values import CodecFactory
from .facts import Clock, Facts
from .finding import Finding, Verdict


@dataclass(slots=True)
class Trial:
    """The result of the trial session on one primary.

    Attributes:
        writes: whether it could write.
        steps: the operations that worked.
        failed: the operation that did not; empty if all worked.
        reason: the text of its error.

    """

    writes: bool = True
    steps: list[str] = field(default_factory=list)
    failed: str = ""
    reason: str = ""


@dataclass(slots=True)
class Case:
    """A store under examination.

    Attributes:
        backend: the store.
        inspection: its servers.
        primaries, replicas, sentinels: facts about them. Servers that do not answer are included.
        codec: returns the codec for a sandbox.
        sandbox_id: the only sandbox to examine; None for all.
        clock: the local clock.
        encodings: how many sampled records each primary stores compactly and as hash tables, by its address.
        trials: the results of the trial session by the address of the primary; empty if there was none.
        named_primaries: the address that each Sentinel names, by its own address.

    """

    backend: Backend
    inspection: Inspection
    primaries: Sequence[Facts]
    replicas: Sequence[Facts]
    sentinels: Sequence[Facts]
    codec: CodecFactory
    sandbox_id: str | None
    clock: Clock
    encodings: dict[str, tuple[int, int]] = field(default_factory=dict)
    trials: dict[str, Trial] = field(default_factory=dict)
    named_primaries: dict[str, str] = field(default_factory=dict)

    def all(self) -> Sequence[Facts]:
        """Return the facts about all servers."""
        return (*self.primaries, *self.replicas, *self.sentinels)


ServerJudge = Callable[[Facts, Case], Iterator[Verdict]]
ServerQuery = Callable[[Facts, Case], AsyncIterator[Verdict]]
StoreQuery = Callable[[Case], AsyncIterator[Finding]]

DATA = (Part.PRIMARY, Part.REPLICA)


class ServerCheck(NamedTuple):
    """A check of each server.

    Attributes:
        name: of the check.
        judge: a function that judges the facts about a server, or queries it for more.
        parts: the parts of the servers that are checked.

    """

    name: str
    judge: ServerJudge | ServerQuery
    parts: Sequence[Part]
