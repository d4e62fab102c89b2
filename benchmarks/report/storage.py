"""Measurements as files, one per suite, so that a run of some suites keeps the figures of the others."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.harness.process import Sample

from .results import Kept, Memory, Results, Row

_DIGITS = 6


def save(results: Results, file: Path) -> None:
    """Write the measurements of a suite, one row per line."""
    lists = {
        "rows": [{**_fields(row), "samples": _packed(row)} for row in results.rows],
        "memory": [_fields(figures) for figures in results.memory],
        "kept": [_fields(figures) for figures in results.kept],
    }
    parts = [f'"facts": {json.dumps(results.facts, ensure_ascii=False, indent=1)}']
    for name, items in lists.items():
        lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in items)
        parts.append(f'"{name}": [\n{lines}\n]')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def load(file: Path) -> Results:
    """Read the measurements of a suite."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return Results(
        content["facts"],
        [Row(**{**row, "samples": _unpacked(row["samples"])}) for row in content["rows"]],
        [Memory(**figures) for figures in content["memory"]],
        [Kept(**figures) for figures in content["kept"]],
    )


def load_all(folder: Path, suites: Iterable[str]) -> dict[str, Results]:
    """Read the measurements of those suites that have been measured."""
    files = {name: folder / f"{name}.json" for name in suites}
    return {name: load(file) for name, file in files.items() if file.exists()}


def _fields(item: Any) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}


def _packed(row: Row) -> dict[str, list[list[float]]]:
    return {
        name: [[_rounded(value) for value in _fields(sample).values()] for sample in samples]
        for name, samples in row.samples.items()
    }


def _unpacked(samples: dict[str, list[list[float]]]) -> dict[str, list[Sample]]:
    return {name: [Sample(int(values[0]), *values[1:]) for values in rounds] for name, rounds in samples.items()}


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
