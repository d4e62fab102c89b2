"""Nothing gets lost when an application, a reader, or the server is killed. `python -m tests.events` runs longer."""

from __future__ import annotations

import pytest

from .scenarios import SCENARIOS, Scenario, run

SECONDS = 1.0


@pytest.mark.parametrize("scenario", SCENARIOS[1:5], ids=lambda scenario: scenario.name)
def test_every_event_of_a_change_that_survives_is_received(scenario: Scenario) -> None:
    counts = run(scenario, SECONDS)
    assert counts.due > 100
    assert (counts.lost, counts.silent, counts.disordered) == (0, 0, 0), counts
    assert counts.received >= counts.due
