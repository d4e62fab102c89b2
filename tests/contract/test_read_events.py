"""read_events: return entries of the stream of events of a bucket."""

from __future__ import annotations

from chuk_sessions.core import index_operations, keys, statuses
from tests.harness.strays import HOME


async def test_returns_nothing_where_no_session_has_emitted_events(world):
    assert await world.backend.run(index_operations.read_events(keys.events(HOME))) == [statuses.OK, []]
