"""Runs the matrix and writes its page. Given names of faults, or parts of them, it runs those and writes nothing."""

from __future__ import annotations

import asyncio
import sys

from .cost import measure
from .matrix import LONG_S, MATRIX, Result, run
from .page import line, write


def main(wanted: list[str]) -> int:
    """Run, and say whether promises were broken."""
    chosen = [fault for fault in MATRIX if not wanted or any(part in fault.name for part in wanted)]
    results: list[Result] = []
    for fault in chosen:
        results.append(asyncio.run(run(fault, LONG_S)))
        print(line(results[-1]), flush=True)
    if not wanted:
        write(results, asyncio.run(measure()))
    return any(result.broken for result in results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
