"""While a process reads, sessions that expire or are idle for too long are reported, without anyone touching them."""

from __future__ import annotations

import pytest

from chuk_sessions import SessionManager, session_hash
from chuk_sessions.events import SessionEvents
from tests.harness.readers import take

SECOND = 1 / 3600
LATE_MS = 12_000
"""On an idle machine, it takes 2 s at most."""


@pytest.mark.parametrize(("options", "reason"), [({}, "expired"), ({"idle_timeout_seconds": 1}, "idle")])
async def test_ends_are_reported_soon_after_the_expiry(source, options, reason):
    ttl = SECOND if reason == "expired" else 1
    async with (
        SessionManager("test", source, events=True, **options) as manager,
        SessionEvents(source, reader="mailer") as events,
    ):
        session_id = await manager.allocate_session(user_id="alice", ttl_hours=ttl)
        created, ended = await take(events, 2)
        assert (created.type, ended.type, ended.reason) == ("session.created", "session.ended", reason)
        assert (ended.session_hash, ended.user_id, ended.owner_known) == (session_hash(session_id), "alice", True)
        assert created.occurred_at + 1000 <= ended.occurred_at < created.occurred_at + 1000 + LATE_MS
        assert ended.expires_at == created.expires_at


async def test_a_reader_of_one_sandbox_sweeps_only_that(source):
    async with (
        SessionManager("test", source, events=True) as manager,
        SessionManager("other", source, events=True) as other,
        SessionEvents(source, reader="mailer", sandbox_id="test") as events,
    ):
        left = await other.allocate_session(ttl_hours=0.001 * SECOND)
        await manager.allocate_session(ttl_hours=0.001 * SECOND)
        assert [event.type for event in await take(events, 2)] == ["session.created", "session.ended"]
        assert await other.cleanup_expired_sessions() == 1
        assert not await other.validate_session(left)
