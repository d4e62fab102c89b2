"""`python -m tests.webhooks`: run all scenarios, and print a table with the counts of each."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import astuple, fields

from .deliveries import DELIVERIES, Tally, deliver


def main() -> int:
    """Run the scenarios. Return 1 if an event was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.webhooks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each scenario")
    options = parser.parse_args()
    names = [field.name for field in fields(Tally)]
    print("|", " | ".join(["fault", *names]), "|")
    print("|---|" + "--:|" * len(names))
    lost = 0
    for delivery in DELIVERIES:
        tally = asyncio.run(deliver(delivery, options.seconds))
        print("|", " | ".join([delivery.name, *[f"{count:,}" for count in astuple(tally)]]), "|", flush=True)
        lost += tally.lost
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
