"""Faults of streams of events."""

from __future__ import annotations

from tests.faults.environments import Environment
from tests.faults.load.load import Load

CAP = 100
"""Most events of a stream. A server drops them in pieces of 100."""


async def fill_a_stream(environment: Environment, load: Load, seconds: float) -> None:
    """Write several times as many events as a stream may have. All sessions of a user are in one bucket."""
    manager = load.managers[0]
    for _ in range(2 * CAP):
        await manager.delete_session(await manager.allocate_session(user_id="in one bucket"))
