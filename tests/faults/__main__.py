"""Runs the matrix and writes its page. Given parts of the names of faults, or another server, it writes nothing."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from .cost import measure
from .environments import use
from .matrix import LONG_S, MATRIX, Result, run
from .page import line, write


def main(wanted: list[str], server: Path | None) -> int:
    """Run, and say whether promises were broken."""
    if server is not None:
        use(server)
    chosen = [fault for fault in MATRIX if not wanted or any(part in fault.name for part in wanted)]
    results: list[Result] = []
    for fault in chosen:
        results.append(asyncio.run(run(fault, LONG_S)))
        print(line(results[-1]), flush=True)
    if not wanted and server is None:
        write(results, asyncio.run(measure()))
    return any(result.broken for result in results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("wanted", nargs="*", metavar="FAULT", help="a part of a fault's name; by default all")
    parser.add_argument("--server", type=Path, metavar="PATH", help="the binary of another server")
    given = parser.parse_args()
    sys.exit(main(given.wanted, given.server))
