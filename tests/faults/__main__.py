"""Run the fault matrix and write its page. With faults chosen, or another server, only print the results."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from .cost import measure
from .environments import use_server
from .matrix import LONG_S, MATRIX, Result, run
from .page import line, write


def main(chosen: list[str], server: Path | None) -> int:
    """Run the faults. Return 1 if a promise was broken, else 0."""
    if server is not None:
        use_server(server)
    faults = [fault for fault in MATRIX if not chosen or any(part in fault.name for part in chosen)]
    results: list[Result] = []
    for fault in faults:
        results.append(asyncio.run(run(fault, LONG_S)))
        print(line(results[-1]), flush=True)
    if not chosen and server is None:
        write(results, asyncio.run(measure()))
    return any(result.broken for result in results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("chosen", nargs="*", metavar="FAULT", help="a part of a fault's name; default: all faults")
    parser.add_argument("--server", type=Path, metavar="PATH", help="the binary of another server")
    arguments = parser.parse_args()
    sys.exit(main(arguments.chosen, arguments.server))
