"""`python -m tests.events`: run all scenarios, and print a table with the counts of each."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

from .scenarios import SCENARIOS, Counts, run


def main() -> int:
    """Run the scenarios. Return 1 if an event was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.events", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each scenario")
    parser.add_argument("chosen", nargs="*", metavar="FAULT", help="a part of a fault's name; default: all faults")
    options = parser.parse_args()
    names = [field.name for field in fields(Counts)]
    print("|", " | ".join(["fault", *names]), "|")
    print("|---|" + "--:|" * len(names))
    failed = False
    for scenario in SCENARIOS:
        if options.chosen and not any(part in scenario.name for part in options.chosen):
            continue
        counts = run(scenario, options.seconds)
        print("|", " | ".join([scenario.name, *[f"{getattr(counts, name):,}" for name in names]]), "|", flush=True)
        failed |= bool(counts.lost or counts.disordered or (counts.silent and scenario.keeps_writes))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
