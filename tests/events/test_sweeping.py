"""While a process reads, sessions that expire or are idle for too long are reported, without anyone touching them."""

from __future__ import annotations

from chuk_sessions import SessionManager, session_hash
from chuk_sessions.events import SessionEvents
from tests.harness.readers import take

SECOND = 1 / 3600
LATE_MS = 12_000
"""On an idle machine, it takes 2 s at most."""


async def test_ends_are_reported_soon_after_the_expiry(source):
    async with (
        SessionManager("test", source, events=True) as manager,
        SessionManager("test", source, events=True, idle_timeout_seconds=1) as idle_manager,
        SessionEvents(source, reader="mailer") as events,
    ):
        expired = await manager.allocate_session(user_id="alice", ttl_hours=SECOND)
        idle = await idle_manager.allocate_session(user_id="alice", ttl_hours=1)
        told = {(event.session_hash, event.type): event for event in await take(events, 4)}
    for session_id, reason in ((expired, "expired"), (idle, "idle")):
        created, ended = [told[session_hash(session_id), kind] for kind in ("session.created", "session.ended")]
        assert (ended.reason, ended.user_id, ended.owner_known) == (reason, "alice", True)
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
