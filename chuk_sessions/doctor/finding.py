"""Findings: the results of checks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """The meaning of a finding for an operator."""

    OK = "ok"
    """The check found nothing to correct."""
    WARNING = "warning"
    """Sessions work, but something can go wrong, or is worse than it needs to be."""
    PROBLEM = "problem"
    """Sessions are lost, wrong, or in danger."""
    UNKNOWN = "unknown"
    """The doctor may not look, or the server does not say."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check, for one server or for the whole store.

    Attributes:
        check: the name of the check, as in docs/doctor.md.
        level: `ok`, `warning`, `problem`, or `unknown`.
        server: host and port of the server, or empty for the whole store.
        found: a description of what the doctor has seen.
        advice: a description of what to do; empty if there is nothing to do.

    """

    check: str
    level: Level
    server: str
    found: str
    advice: str = ""

    @property
    def needs_action(self) -> bool:
        """Whether it is a warning or a problem."""
        return self.level in (Level.WARNING, Level.PROBLEM)

    def to_dict(self) -> dict[str, str]:
        """Return the finding as a dict for JSON: its attributes, all of them texts."""
        return {name: str(value) for name, value in asdict(self).items()}


class Verdict(NamedTuple):
    """The result of a check before it has a name and a server."""

    level: Level
    found: str
    advice: str = ""

    def on(self, check: str, server: str = "") -> Finding:
        """Return the finding of a check for a server, or for the whole store."""
        return Finding(check, self.level, server, self.found, self.advice)


def ok(found: str) -> Verdict:
    """Return a verdict without anything to do."""
    return Verdict(Level.OK, found)


def warning(found: str, advice: str) -> Verdict:
    """Return a warning."""
    return Verdict(Level.WARNING, found, advice)


def problem(found: str, advice: str) -> Verdict:
    """Return a problem."""
    return Verdict(Level.PROBLEM, found, advice)


def unknown(found: str, advice: str) -> Verdict:
    """Return a verdict about something that the doctor could not see."""
    return Verdict(Level.UNKNOWN, found, advice)
