"""Every process collects the same tests, so that concurrent ones can share them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
COLLECT = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]


@pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="pytest-xdist has already compared them")
def test_tests_have_the_same_names_in_every_process():
    """A name with an address, a random id, or the next element of a set would differ."""
    seeds = ("1", "2")
    processes = [
        subprocess.Popen(COLLECT, cwd=TOP, env=os.environ | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True)
        for seed in seeds
    ]
    names = [[line for line in process.communicate()[0].splitlines() if "::" in line] for process in processes]
    assert len(names[0]) > 1000
    assert set(names[0]) ^ set(names[1]) == set()
    assert names[0] == names[1]
