"""Bulk migration: all sessions are copied once, compared, and removed from the source, whatever happens meanwhile."""

from __future__ import annotations

import json
import time

import pytest

from chuk_sessions import NotSupportedError, SessionManager
from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.encryption import Encryption
from chuk_sessions.migration import (
    FileSource,
    Migration,
    Outcome,
    PublishedSource,
    SandboxSource,
    State,
    Target,
    export_lines,
)
from chuk_sessions.providers import memory, redis
from tests.harness.worlds import CustomWorld

KEY = b"k" * 32


def published(server, **options):
    return PublishedSource(redis.factory(server.url), **options)


def migration(server, **options):
    """Return a migration from the published format on a server to the same server."""
    return Migration(published(server), Target(redis.factory(server.url)), **options)


async def test_copies_compares_and_removes(old, server):
    ids = old.call("many", 300)
    missing = await migration(server).compare()
    assert missing.counts == {Outcome.MISSING: 300}
    assert (await migration(server).copy()).counts == {Outcome.ADOPTED: 300}
    assert (await migration(server).compare()).counts == {Outcome.EQUAL: 300}
    assert (await migration(server).copy()).counts == {Outcome.PRESENT: 300}
    assert (await migration(server).compare(remove=True)).counts == {Outcome.REMOVED: 300}
    manager = SessionManager("web", redis.factory(server.url))
    assert await manager.count_sessions() == 300
    assert [(await manager.load_session(each)).custom_metadata["n"] for each in ids] == list(range(300))
    assert sum([len(await manager.list_user_sessions(f"user{n}")) for n in range(97)]) == 300
    with server.client() as client:
        assert not list(client.scan_iter("session:*"))


async def test_sessions_that_end_in_the_target_stay_ended(old, server):
    deleted, rotated, kept, changed = ids = old.call("many", 4)
    await migration(server).copy()
    manager = SessionManager("web", redis.factory(server.url))
    await manager.delete_session(deleted)
    await manager.rotate_session(rotated)
    await manager.update_session_metadata(changed, {"here": True})
    assert (await migration(server).copy()).counts == {Outcome.ENDED: 2, Outcome.PRESENT: 2}
    assert (await migration(server).compare()).counts == {Outcome.ENDED: 2, Outcome.EQUAL: 1, Outcome.CHANGED: 1}
    assert [await manager.validate_session(each) for each in ids] == [False, False, True, True]
    assert (await migration(server).compare(remove=True)).counts == {Outcome.REMOVED: 4}
    assert (await manager.load_session(changed)).custom_metadata["here"]
    assert kept in ids


async def test_another_run_brings_sessions_up_to_date_that_have_changed_at_the_source_only(old, server):
    changed, both = old.call("many", 2)
    await migration(server).copy()
    manager = SessionManager("web", redis.factory(server.url))
    await manager.update_session_metadata(both, {"here": True})
    for each in (changed, both):
        assert old.call("update_session_metadata", each, {"there": True})
        assert old.call("extend_session_ttl", each, 5)
    assert (await migration(server).compare()).counts == {Outcome.DIFFERENT: 1, Outcome.CHANGED: 1}
    assert (await migration(server).copy()).counts == {Outcome.UPDATED: 1, Outcome.PRESENT: 1}
    assert (await migration(server).compare()).counts == {Outcome.EQUAL: 1, Outcome.CHANGED: 1}
    assert "there" in (await manager.load_session(changed)).custom_metadata
    assert "there" not in (await manager.load_session(both)).custom_metadata


async def test_reports_what_cannot_be_migrated(old, server):
    old.call("many", 3)
    old.call("allocate_session", "has/slash")
    with server.client() as client:
        client.set("session:broken", "{")
        client.set("session:other", json.dumps({"session_id": "another"}))
        client.hset("session:hash", "a", "b")
    report = await migration(server).copy()
    assert report.counts == {Outcome.ADOPTED: 3, Outcome.UNREADABLE: 4}
    assert report.findings == len(report.problems) == 4
    assert all("broken" not in problem.reference for problem in report.problems)
    assert (await migration(server).compare(remove=True)).counts == {Outcome.REMOVED: 3, Outcome.UNREADABLE: 4}


async def test_sandboxes_can_be_selected_and_renamed(old, server):
    old.call("many", 3)
    factory = redis.factory(server.url)
    assert (await Migration(published(server, sandboxes=["x"]), Target(factory)).copy()).total == 0
    report = await Migration(published(server, sandboxes=["web"]), Target(factory, sandbox_id="shop")).copy()
    assert report.counts == {Outcome.ADOPTED: 3}
    assert await SessionManager("shop", factory).count_sessions() == 3


async def test_a_session_that_is_removed_at_the_source_is_not_changed_meanwhile(old, server):
    """A record that an old process has written since the comparison stays."""
    (session_id,) = old.call("many", 1)
    await migration(server).copy()
    source = published(server)
    remove = source.remove

    async def changed_meanwhile(session):
        old.call("update_session_metadata", session_id, {"there": True})
        return await remove(session)

    source.remove = changed_meanwhile
    assert (await Migration(source, Target(redis.factory(server.url))).compare(remove=True)).counts == {Outcome.LEFT: 1}


async def test_a_custom_provider_cannot_be_listed(world):
    single = CustomWorld(world.clock)
    with pytest.raises(NotSupportedError):
        await Migration(PublishedSource(single.open), Target(world.factory)).copy()
    with pytest.raises(NotSupportedError):
        SandboxSource(single.open, "web")


async def test_a_custom_provider_can_be_a_target(old, server, world):
    (session_id,) = old.call("many", 1)
    single = CustomWorld(world.clock)
    assert (await Migration(published(server), Target(single.open)).copy()).counts == {Outcome.ADOPTED: 1}
    assert (await SessionManager("web", single.open).load_session(session_id)).user_id == "user0"


# Between stores and sandboxes of this version


async def filled(factory, sandbox_id="web", **options):
    """Return a manager with a session of a guest, and sessions of alice under generated and other ids."""
    manager = SessionManager(sandbox_id, factory, **options)
    await manager.allocate_session("guest", custom_metadata={"a": 1.5})
    await manager.allocate_session("own", user_id="alice", custom_metadata={"b": [None, "é"]})
    session_id = await manager.allocate_session(user_id="alice", ttl_hours=1, custom_metadata={"c": {"d": True}})
    await manager.rate_limit_session(session_id, "api", 2, 60)
    await manager.increment_session_counter(session_id, "n", 4)
    await manager.extend_session_ttl(session_id, 2)
    return manager, session_id


@pytest.mark.parametrize("encrypted", [False, True])
async def test_copies_a_sandbox_to_another_store_and_name(encrypted):
    encryption = Encryption({"a": KEY}, primary="a", plain_keys=["n"]) if encrypted else None
    clock = ManualClock(1_700_000_000_000)
    source, session_id = await filled(memory.factory(clock), encryption=encryption)
    before = await source.get_session_info(session_id)
    target = memory.factory(clock)

    def run():
        found = SandboxSource(source.session_factory, "web", encryption)
        return Migration(found, Target(target, sandbox_id="shop", encryption=encryption))

    assert (await run().copy()).counts == {Outcome.ADOPTED: 3}
    assert (await run().compare()).counts == {Outcome.EQUAL: 3}
    manager = SessionManager("shop", target, encryption=encryption)
    assert await manager.get_session_info(session_id) == {**before, "sandbox_id": "shop"}
    assert len(await manager.list_user_sessions("alice")) == await manager.count_sessions("alice") == 2
    assert not (await manager.rate_limit_session(session_id, "api", 2, 60, cost=2)).allowed
    assert (await run().compare()).counts == {Outcome.EQUAL: 3}
    await source.update_session_metadata(session_id, {"c": 2})
    await manager.update_session_metadata("own", {"x": 2})
    assert (await run().copy()).counts == {Outcome.UPDATED: 1, Outcome.PRESENT: 2}
    assert (await manager.load_session(session_id)).custom_metadata == {"c": 2, "n": 4}
    assert (await run().compare(remove=True)).counts == {Outcome.REMOVED: 3}
    assert await source.count_sessions() == 0
    assert await manager.revoke_user_sessions("alice") == 2


async def test_copies_from_memory_to_a_cluster(farms):
    farm = farms["cluster"]
    farm.empty()
    # A store of its own, without the sessions of other tests.
    source, session_id = await filled(memory.factory(ManualClock(time.time_ns() // 1_000_000)))
    target = redis.factory(farm.url)
    assert (await Migration(SandboxSource(source.session_factory, "web"), Target(target)).copy()).total == 3
    manager = SessionManager("web", target)
    assert await manager.get_session_info(session_id) == await source.get_session_info(session_id)
    assert len(await manager.list_user_sessions("alice")) == 2


@pytest.mark.parametrize("as_stored", [False, True])
async def test_exports_and_imports(tmp_path, as_stored):
    encryption = Encryption({"a": KEY}, primary="a")
    clock = ManualClock(time.time_ns() // 1_000_000)
    manager = SessionManager("web", memory.factory(clock), encryption=encryption, idle_timeout_seconds=3600)
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"secret": "hidden"})
    before = await manager.get_session_info(session_id)
    lines = [
        json.dumps(line)
        async for line in export_lines(SandboxSource(manager.session_factory, "web", encryption), as_stored=as_stored)
    ]
    assert session_id not in lines[0]
    assert ("hidden" in lines[0], "alice" in lines[0]) == (not as_stored, not as_stored)
    path = tmp_path / "export"
    path.write_text("\n".join([*lines, "", "garbage", '{"format": 1}', '{"format": 9}']))
    target = memory.factory(clock)
    report = await Migration(FileSource(path, encryption), Target(target, encryption=encryption)).copy()
    assert report.counts == {Outcome.ADOPTED: 1, Outcome.UNREADABLE: 3}
    copy = SessionManager("web", target, encryption=encryption)
    assert await copy.get_session_info(session_id) == before
    await copy.delete_session(session_id)
    again = await Migration(FileSource(path, encryption), Target(target, encryption=encryption)).copy()
    assert again.counts == {Outcome.ENDED: 1, Outcome.UNREADABLE: 3}


# State


async def test_goes_on_at_the_checkpoint(old, server, tmp_path):
    ids = old.call("many", 1500)
    path = tmp_path / "state"

    class StoppedError(Exception):
        pass

    def stop(_):
        raise StoppedError

    with pytest.raises(StoppedError):
        await migration(server, state=State(path, subject="a"), on_progress=stop).copy()
    seen = json.loads(path.read_text())
    assert 0 < sum(seen["counts"].values()) < len(ids)
    assert list(seen["cursors"].values()) != ["0"]
    report = await migration(server, state=State(path, subject="a")).copy()
    assert report.counts[Outcome.ADOPTED] == len(ids)
    assert report.counts[Outcome.PRESENT] == 0
    assert json.loads(path.read_text())["counts"] == {}


def test_the_state_of_another_migration_or_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "state"
    State(path, subject="a").restart()
    with pytest.raises(ValueError, match="another migration: a"):
        State(path, subject="b")
    path.write_text("{")
    with pytest.raises(ValueError, match="is not the state"):
        State(path, subject="a")


async def test_starts_again_on_a_server_that_was_restarted(old, server, tmp_path):
    """A cursor of SCAN means nothing to another process."""
    old.call("many", 10)
    path = tmp_path / "state"
    state = State(path)
    (part,) = await published(server).parts()
    state.begin([part])
    state.advance(part, "777", {})
    part.name = "another process"
    assert [state.cursor(each) for each in State(path).begin([part])] == [""]
