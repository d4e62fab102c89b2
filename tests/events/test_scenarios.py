"""Nothing gets lost when an application, a reader, or the server is killed. `python -m tests.events` runs longer."""

from __future__ import annotations

import pytest

from tests.redis.tools import LONG

from .scenarios import SCENARIOS, Scenario, kill_each, run

CHOSEN = [one for one in SCENARIOS if LONG or one.inject is kill_each]


@pytest.mark.parametrize("scenario", CHOSEN, ids=lambda scenario: scenario.name)
def test_every_event_of_a_change_that_survives_is_received(scenario: Scenario):
    counts = run(scenario, 8.0 if LONG else 1.0)
    print(counts)
    assert counts.due > 100
    assert (counts.lost, counts.disordered) == (0, 0), counts
    assert counts.silent == 0 or not scenario.keeps_writes, counts
    assert counts.received >= counts.due
