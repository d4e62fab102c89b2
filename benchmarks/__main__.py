"""The entry point of `python -m benchmarks`; `harness/run.py` lists the options."""

from __future__ import annotations

from benchmarks.harness.run import main

main()
