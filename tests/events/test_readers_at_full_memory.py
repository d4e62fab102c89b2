"""A server at its memory limit: sessions end with their events, and known readers read, take over, and trim."""

from __future__ import annotations

import pytest

from chuk_sessions import SessionManager, StoreFullError
from chuk_sessions.events import EventReaders, SessionEvents
from chuk_sessions.providers import redis
from tests.harness.readers import take


async def test_a_known_reader_works_and_a_new_one_is_refused(server):
    source = redis.factory(server.url)
    async with SessionManager("test", source, events=True) as manager:
        session_ids = [await manager.allocate_session() for _ in range(20)]
        async with SessionEvents(source, reader="mailer") as events:
            await take(events, 3)
        with server.client() as client:
            client.config_set("maxmemory", 1)
            try:
                assert [await manager.delete_session(one) for one in session_ids] == [True] * 20
                async with SessionEvents(source, reader="mailer") as events:
                    found = await take(events, 38)
                    assert sum(event.type == "session.ended" for event in found) == 20
                    assert await events.acknowledge()
                readers = EventReaders(source)
                assert [one.lag_events for one in await readers.list()] == [0]
                await readers.aclose()
                with pytest.raises(StoreFullError):
                    async with SessionEvents(source, reader="new"):
                        pass
            finally:
                client.config_set("maxmemory", 0)
