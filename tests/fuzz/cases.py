"""How many cases: some by default, a hundred thousand of each in the long form."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.link.tools import LONG

FUZZ = settings(
    max_examples=100_000 if LONG else 100,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
