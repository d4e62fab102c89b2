"""`python tests/project/branches.py COVERAGE.json`: the share of the core's statements and branches that tests run.

It fails if the tests run less than MIN_PERCENT of the branches. The total and `fail_under` of coverage mix statements
and branches, which hides missed branches. The core is chuk_sessions without its providers, which are a thin layer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MIN_PERCENT = 95.0
_PROVIDERS = "chuk_sessions/providers/"


def main(report: str) -> int:
    """Print the missed branches and both shares. Return 1 if the share of branches is too low."""
    files: dict[str, Any] = json.loads(Path(report).read_text(encoding="utf-8"))["files"]
    core = {name: found for name, found in files.items() if not Path(name).as_posix().startswith(_PROVIDERS)}
    for name, found in core.items():
        for start, end in found["missing_branches"]:
            print(f"{name}: no test goes from line {start} to {f'line {end}' if end > 0 else 'the end'}")
    statements = _share(core, "covered_lines", "num_statements")
    branches = _share(core, "covered_branches", "num_branches")
    print(f"The core: {statements:.2f} % of statements, {branches:.2f} % of branches ({MIN_PERCENT:g} % are required).")
    return int(branches < MIN_PERCENT)


def _share(core: dict[str, Any], covered: str, all_: str) -> float:
    summaries = [found["summary"] for found in core.values()]
    return float(100 * sum(one[covered] for one in summaries) / sum(one[all_] for one in summaries))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
