"""`python -m benchmarks`: see `run.py`."""

from __future__ import annotations

from .run import main

main()
