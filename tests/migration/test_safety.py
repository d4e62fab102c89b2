"""Migration: what could lose sessions or revive them, in the order of events that would do so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from chuk_sessions import SessionManager, SessionUnavailableError, StoreFullError, session_hash
from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.engine.executor import Executor
from chuk_sessions.migration import FileSource, Migration, Outcome, PublishedSource, ReadThrough, SandboxSource, Target
from chuk_sessions.providers import memory, redis
from tests.harness.federated import GIVING
from tests.harness.ports import free_port
from tests.harness.servers import running, valkey_binary


@pytest.fixture
def clock():
    return ManualClock(1_700_000_000_000)


class Move:
    """A sandbox, and its copy in another store."""

    def __init__(self, clock, **options):
        self.old = SessionManager("web", memory.factory(clock), **options)
        self.new = SessionManager("web", memory.factory(clock), **options)

    def run(self):
        """Return a migration from the one to the other."""
        return Migration(SandboxSource(self.old.session_factory, "web"), Target(self.new.session_factory))

    async def outcome(self, name="copy", **options):
        """Run the migration of the only session, and return what happened to it."""
        (outcome,) = (await getattr(self.run(), name)(**options)).counts
        return outcome


def record(session_id, **changes):
    """Return a record of chuk-sessions 0.6 as text."""
    now = datetime.now(UTC)
    fields = {"session_id": session_id, "sandbox_id": "web", "created_at": now.isoformat()}
    return json.dumps({**fields, "expires_at": (now + timedelta(hours=1)).isoformat(), **changes})


async def test_a_source_that_is_unreachable_from_the_start_is_an_outage():
    nowhere = redis.factory(f"redis://127.0.0.1:{free_port()}", connect_timeout=0.2, call_timeout=0.2)
    with pytest.raises(SessionUnavailableError):
        await Migration(PublishedSource(nowhere), Target(memory.factory()), patience=0.1).compare()


async def test_a_copy_to_itself_is_refused_however_the_store_is_named(server):
    """With `remove`, it would remove all sessions."""
    other = server.url.removesuffix("/0") if server.url.endswith("/0") else f"{server.url}/0"
    assert other != server.url
    manager = SessionManager("web", redis.factory(server.url))
    session_id = await manager.allocate_session()
    same = Migration(SandboxSource(redis.factory(other), "web"), Target(redis.factory(server.url)))
    with pytest.raises(ValueError, match="same sandbox of the same store"):
        await same.copy()
    with pytest.raises(ValueError, match="same sandbox of the same store"):
        await same.compare(remove=True)
    assert await manager.validate_session(session_id)
    renamed = Migration(
        SandboxSource(redis.factory(other), "web"), Target(redis.factory(server.url), sandbox_id="shop")
    )
    assert (await renamed.copy()).counts == {Outcome.ADOPTED: 1}


async def test_a_session_is_not_removed_if_the_target_has_another_one_under_its_id(clock):
    move = Move(clock)
    await move.old.allocate_session("mine", user_id="alice")
    await move.new.allocate_session("mine", user_id="bob")
    assert await move.outcome("compare") is Outcome.DIFFERENT
    assert await move.outcome() is Outcome.PRESENT
    assert await move.outcome("compare", remove=True) is Outcome.DIFFERENT
    assert await move.old.validate_session("mine")


async def test_a_session_that_this_clock_takes_for_expired_is_not_removed(clock):
    """The clock of the command may be wrong. Stores remove what has expired."""
    move = Move(clock)
    session_id = await move.old.allocate_session()
    assert await move.outcome("compare", remove=True) in (Outcome.EXPIRED, Outcome.MISSING)
    assert await move.old.validate_session(session_id)


async def test_another_run_passes_on_later_accesses(clock):
    """Otherwise, a copy would reach its idle timeout while the session is in use at the source."""
    move = Move(clock, idle_timeout_seconds=600)
    session_id = await move.old.allocate_session()
    assert await move.outcome() is Outcome.ADOPTED
    for _ in range(3):
        clock.advance(seconds=500)
        assert await move.old.validate_session(session_id)
        assert await move.outcome("compare") is Outcome.DIFFERENT
        assert await move.outcome() is Outcome.UPDATED
        assert await move.outcome() is Outcome.PRESENT
        assert await move.outcome("compare") is Outcome.EQUAL
    assert await move.new.validate_session(session_id)


async def test_an_old_process_that_only_reads_after_a_copy_leaves_nothing_different(old, server):
    (session_id,) = old.call("many", 1)

    def migration():
        return Migration(PublishedSource(redis.factory(server.url)), Target(redis.factory(server.url)))

    await migration().copy()
    assert old.call("validate_session", session_id)
    await migration().copy()
    assert (await migration().compare()).counts == {Outcome.EQUAL: 1}


async def test_a_grant_that_was_revoked_at_the_source_after_the_copy_is_a_difference(clock):
    move = Move(clock, **GIVING)
    session_id = await move.old.allocate_session()
    await move.old.grant_session(session_id, to="other")
    assert await move.outcome() is Outcome.ADOPTED
    assert await move.old.revoke_grants(session_id) == 1
    assert await move.outcome("compare") is Outcome.DIFFERENT
    assert await move.outcome() is Outcome.UPDATED
    assert await move.outcome("compare") is Outcome.EQUAL
    assert await move.new.list_grants(session_id) == []


async def test_a_grant_that_was_given_in_the_target_is_a_change_there(clock):
    move = Move(clock, **GIVING)
    session_id = await move.old.allocate_session()
    await move.outcome()
    await move.new.grant_session(session_id, to="other")
    assert await move.outcome("compare") is Outcome.CHANGED
    assert await move.outcome() is Outcome.PRESENT
    assert len(await move.new.list_grants(session_id)) == 1


async def test_grants_are_revoked_that_were_not_read_through_yet(clock):
    old, session_id = SessionManager("web", memory.factory(clock), **GIVING), "mine"
    await old.allocate_session(session_id)
    await old.grant_session(session_id, to="other")
    migration = ReadThrough(SandboxSource(old.session_factory, "web"))
    new = SessionManager("web", memory.factory(clock), migration=migration)
    assert await new.revoke_grants(session_id) == 1
    assert await new.validate_session(session_id)
    assert await new.list_grants(session_id) == []


async def test_a_bulk_copy_never_writes_a_session_whose_user_was_revoked(old, server, new, monkeypatch):
    """Not even for a moment: it may be killed then, and another run would find the session present."""
    old.call("allocate_session", user_id="alice")
    await new().revoke_user_sessions("alice")
    written = []
    write = Executor.execute_until_known

    async def noted(self, call):
        written.append(call)
        return await write(self, call)

    monkeypatch.setattr(Executor, "execute_until_known", noted)
    report = await Migration(PublishedSource(redis.factory(server.url)), Target(redis.factory(server.url))).copy()
    assert report.counts == {Outcome.ENDED: 1}
    assert written == []


async def test_requests_that_were_counted_in_the_target_still_count(clock):
    move = Move(clock)
    session_id = await move.old.allocate_session()
    await move.outcome()
    assert (await move.new.rate_limit_session(session_id, "login", 1, 60)).allowed
    await move.old.update_session_metadata(session_id, {"a": 1})
    assert await move.outcome() is Outcome.UPDATED
    assert not (await move.new.rate_limit_session(session_id, "login", 1, 60)).allowed
    assert (await move.new.load_session(session_id)).custom_metadata == {"a": 1}


async def test_a_refreshed_session_keeps_its_record_until_its_own_idle_timeout(clock):
    move = Move(clock, idle_timeout_seconds=3600)
    session_id = await move.old.allocate_session()
    await move.outcome()
    await move.old.update_session_metadata(session_id, {"a": 1})
    clock.advance(seconds=3000)
    assert await move.new.validate_session(session_id)
    assert await move.outcome() is Outcome.UPDATED
    clock.advance(seconds=3000)
    assert await move.new.cleanup_expired_sessions() == 0
    assert await move.new.validate_session(session_id)


async def test_sessions_can_be_revoked_at_full_memory():
    with running(valkey_binary()) as server:
        factory = redis.factory(server.url)
        manager = SessionManager("web", factory, migration=ReadThrough(PublishedSource(factory)))
        first, second = [await manager.allocate_session(user_id="alice") for _ in range(2)]
        with server.client() as client:
            client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        with pytest.raises(StoreFullError):
            await manager.revoke_session(session_hash(first))
        assert not await manager.validate_session(first)
        with pytest.raises(StoreFullError):
            await manager.revoke_user_sessions("alice")
        assert not await manager.validate_session(second)
        await manager.aclose()


@pytest.mark.parametrize(
    "line",
    [
        "[" * 200_000,
        '{"format": 1, "reference": 5, "sandbox_id": "web"}',
        {"fields": {"u": "YWxpY2U="}},
        {"fields": {"v": "OQ=="}},
        {"fields": {"r": "OQ=="}},
        {"created": True},
        {"deadline": 1e12},
    ],
    ids=lambda line: str(line)[:40],
)
async def test_a_damaged_line_of_an_export_is_reported_and_the_others_are_imported(tmp_path, clock, line):
    good = {
        "format": 1, "reference": session_hash("mine"), "sandbox_id": "web", "created": 1, "deadline": 10**14,
        "accessed": 1, "idle": 0, "version": 1, "user_id": None, "custom_metadata": {}, "fields": {},
    }  # fmt: skip
    path = tmp_path / "export"
    text = line if isinstance(line, str) else json.dumps({**good, "reference": session_hash("bad"), **line})
    path.write_text(f"{text}\n{json.dumps(good)}\n")
    report = await Migration(FileSource(path), Target(memory.factory(clock))).copy()
    assert report.counts == {Outcome.UNREADABLE: 1, Outcome.ADOPTED: 1}


async def test_names_of_sandboxes_in_the_environment_may_have_spaces(old, server, monkeypatch):
    session_id = old.call("allocate_session")
    monkeypatch.setenv("SESSION_MIGRATE_FROM", server.url)
    monkeypatch.setenv("SESSION_MIGRATE_SANDBOX", "shop, web")
    assert await SessionManager("x", redis.factory(server.url)).validate_session(session_id)
