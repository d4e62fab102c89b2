"""`python tests/project/branches.py COVERAGE.json`: how much of the core the tests run, statements and branches each by itself.

Fails where it is less than LEAST per cent of the branches. coverage's own total and `fail_under` count both together,
and so hide what is missing. The core is all of chuk_sessions but its providers, which are a few lines around it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LEAST = 95.0
_APART = "chuk_sessions/providers/"


def main(report: str) -> int:
    """Print both shares and the files with missed branches. Returns 1 for too few."""
    files: dict[str, Any] = json.loads(Path(report).read_text(encoding="utf-8"))["files"]
    core = {name: found for name, found in files.items() if not Path(name).as_posix().startswith(_APART)}
    for name, found in core.items():
        for start, end in found["missing_branches"]:
            print(f"{name}: no test goes from line {start} to {f'line {end}' if end > 0 else 'the end'}")
    statements = _share(core, "covered_lines", "num_statements")
    branches = _share(core, "covered_branches", "num_branches")
    print(f"The core: {statements:.2f} % of statements, {branches:.2f} % of branches ({LEAST:g} % are wanted).")
    return int(branches < LEAST)


def _share(core: dict[str, Any], covered: str, all_: str) -> float:
    summaries = [found["summary"] for found in core.values()]
    return float(100 * sum(one[covered] for one in summaries) / sum(one[all_] for one in summaries))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
