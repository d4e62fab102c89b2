"""Figures: numbers about parts of the library, which telemetry reads when it is asked for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from .registry import Registry


class Figure(NamedTuple):
    """A number.

    Attributes:
        family: the name of its family, one of those in `chuk_sessions.telemetry`.
        value: the number.
        labels: the values of the family's labels, in order. Never the id of a user or session.

    """

    family: str
    value: float
    labels: tuple[str, ...] = ()


class Reporter(Protocol):
    """A part of the library that has figures.

    Attributes:
        backend: the backend that the figures are about; None if they are about the whole process.

    """

    backend: Any

    def figures(self) -> Iterable[Figure]:
        """Return the current figures, in any thread and without waiting."""


REPORTERS: Registry[Reporter] = Registry()
"""All reporters of this process."""
