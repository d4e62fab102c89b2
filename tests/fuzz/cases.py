"""Settings of the fuzz tests: 100 cases each, 100,000 in the long form, or the number in CHUK_TEST_CASES."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.redis.tools import how_many

FUZZ = settings(
    max_examples=how_many("CASES", 100, 100_000),
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
