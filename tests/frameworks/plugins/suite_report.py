"""A pytest plugin for the tests of frameworks: it expects the listed tests to fail, and counts the results.

It runs in the environment of a framework, and imports nothing of this repository. CHUK_SUITE_LISTED is a JSON object of
tests that cannot apply and their reasons. The counts are written to the file CHUK_SUITE_COUNTS.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

LISTED: dict[str, str] = json.loads(os.environ["CHUK_SUITE_LISTED"])
COUNTS: Counter[str] = Counter()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    expected = {item: name for item in items for name in _names(item.nodeid) if name in LISTED}
    for item, name in expected.items():
        item.add_marker(pytest.mark.xfail(reason=LISTED[name], strict=True))
    if absent := sorted(LISTED.keys() - set(expected.values())):
        raise pytest.UsageError(f"tests that are listed as not applicable do not exist: {', '.join(absent)}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        COUNTS["passed"] += 1
    elif report.skipped:
        is_listed = hasattr(report, "wasxfail") and any(name in LISTED for name in _names(report.nodeid))
        COUNTS["not applicable" if is_listed else "skipped"] += 1


def pytest_sessionfinish() -> None:
    Path(os.environ["CHUK_SUITE_COUNTS"]).write_text(json.dumps(COUNTS), encoding="utf-8")


def _names(nodeid: str) -> tuple[str, str]:
    """Return the name of a test with its parameters and without."""
    return nodeid, nodeid.partition("[")[0]
