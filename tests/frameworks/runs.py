"""A run of a suite in the environment of its framework."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PLUGINS = Path(__file__).parent / "plugins"


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        output: what pytest has printed. The last line counts the results.
        counts: how many tests `passed`, were `not applicable`, or `skipped` themselves.
        problem: why the run counts as failed; empty if it does not.

    """

    output: str
    counts: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""

    @property
    def closing_line(self) -> str:
        """The line in which pytest counts the results."""
        return self.output.rstrip().rpartition("\n")[2]


def run(
    python: Path,
    folder: Path,
    arguments: Sequence[str],
    *,
    listed: Mapping[str, str],
    plugins: Sequence[str] = (),
    environment: Mapping[str, str],
) -> Outcome:
    """Run pytest in a folder. Tests in `listed` cannot apply, and must fail. `environment` adds variables."""
    loaded = [word for name in ("suite_report", *plugins) for word in ("-p", name)]
    # With -P, Python imports the framework that is installed, and not the one beside the tests.
    command = [str(python), "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", *loaded, *arguments]
    with tempfile.TemporaryDirectory() as temporary:
        counts = Path(temporary, "counts.json")
        variables = _inherited() | {"PYTHONPATH": str(PLUGINS), "CHUK_SUITE_COUNTS": str(counts), **environment}
        variables["CHUK_SUITE_LISTED"] = json.dumps(dict(listed))
        done = subprocess.run(
            command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        counted = json.loads(counts.read_text(encoding="utf-8")) if counts.exists() else {}
    return Outcome(done.stdout, counted, _problem(done.returncode, counted))


def _inherited() -> dict[str, str]:
    """Return the environment without settings of this library."""
    return {name: value for name, value in os.environ.items() if not re.match("(REDIS|SESSION|CHUK)_", name)}


def _problem(status: int, counts: Mapping[str, int]) -> str:
    if status:
        return f"pytest exited with {status}"
    return "" if counts.get("passed") else "no test passed"
