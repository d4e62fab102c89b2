"""Nothing gets lost when an application, a reader, or the server is killed. `python -m tests.events` runs longer."""

from __future__ import annotations

from tests.faults.environments import ALWAYS, standalone

from .scenarios import Scenario, kill_each, run


def test_every_event_of_a_change_that_survives_is_received():
    counts = run(Scenario("all killed", standalone(*ALWAYS), kill_each), 1.0)
    assert counts.due > 100
    assert (counts.lost, counts.silent, counts.disordered) == (0, 0, 0), counts
    assert counts.received >= counts.due
