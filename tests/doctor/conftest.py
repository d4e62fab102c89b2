"""A server with the settings of the production checklist, for tests that plant faults in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import bundled
from tests.doctor.tools import HEALTHY
from tests.harness.servers import Server, running


@pytest.fixture(scope="module")
def patient_of_module() -> Iterator[Server]:
    """Run a healthy server for the tests of a module."""
    with running(bundled(), *HEALTHY) as server:
        yield server


@pytest.fixture
def patient(patient_of_module: Server) -> Server:
    """Return a healthy server without data. Tests restore the settings that they change."""
    patient_of_module.empty()
    return patient_of_module
