"""`python -m benchmarks`: see `run.py`."""

from __future__ import annotations

from benchmarks.harness.run import main

main()
