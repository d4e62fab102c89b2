"""The runs of frameworks' suites are strict: see tests/frameworks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.frameworks.__main__ import all_suites
from tests.frameworks.environments import interpreter
from tests.frameworks.runs import PLUGINS, Outcome, run

SUITE = """
import os, pytest

def test_passes():
    assert os.environ["SESSION_PROVIDER"] == "memory"

@pytest.mark.parametrize("number", [1, 2])
def test_fails(number):
    assert not number

@pytest.mark.skip(reason="not here")
def test_skips():
    pass
"""
REASON = "a reason"


def outcome(folder: Path, *arguments: str, **listed: str) -> Outcome:
    """Run the suite above, with listed tests of these names."""
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return run(
        Path(sys.executable),
        folder,
        arguments,
        listed={f"test_suite.py::{name}": reason for name, reason in listed.items()},
        environment={"SESSION_PROVIDER": "memory"},
    )


def test_listed_tests_are_not_applicable(tmp_path):
    found = outcome(tmp_path, test_fails=REASON)
    assert found.problem == ""
    assert found.counts == {"passed": 1, "not applicable": 2, "skipped": 1}
    assert found.closing_line.startswith("1 passed, 1 skipped, 2 xfailed in ")


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({}, "2 failed"),
        ({"test_fails[1]": REASON}, "FAILED test_suite.py::test_fails[2]"),
        ({"test_fails": REASON, "test_passes": REASON}, f"[XPASS(strict)] {REASON}"),
        ({"test_fails": REASON, "test_absent": REASON}, "do not exist: test_suite.py::test_absent"),
    ],
    ids=["not listed", "not listed with this parameter", "listed, but passes", "listed, but absent"],
)
def test_any_other_result_is_a_failure(tmp_path, listed, message):
    found = outcome(tmp_path, **listed)
    assert found.problem.startswith("pytest exited with ")
    assert message in found.output


def test_a_run_in_which_no_test_passes_is_a_failure(tmp_path):
    assert outcome(tmp_path, "-k", "fails", test_fails=REASON).problem == "no test passed"


def test_all_suites_are_complete():
    suites = all_suites()
    assert len({suite.name for suite in suites}) == len(suites) > 0
    for suite in suites:
        assert {version.label for version in suite.versions} >= {"newest", "oldest"}
        assert not suite.tests or suite.package
        assert not suite.plugin or (PLUGINS / f"{suite.plugin}.py").exists()
        reasons = [
            *suite.not_applicable.values(),
            *(why for one in suite.versions for why in one.not_applicable.values()),
        ]
        assert all(reasons)


def test_versions_run_with_a_python_that_they_support(monkeypatch):
    monkeypatch.setenv("CHUK_PYTHONS", "3.98:/of/98 3.99:/of/99")
    assert interpreter("") == sys.executable
    assert interpreter("3.11") == sys.executable
    assert interpreter("3.99") == "/of/99"
    assert interpreter("3.100") is None
