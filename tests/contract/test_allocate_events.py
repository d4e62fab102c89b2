"""allocate and events: the first event of a session, and the ends of those that make way for it."""

from __future__ import annotations

import pytest

from chuk_sessions import NotSupportedError, SessionLimitError, SessionOwnerError, session_hash
from chuk_sessions.core import event_entries, ids, index_operations, keys, operations, statuses
from tests.harness.events import read_events, summary
from tests.harness.strays import HOME, id_in

HOUR_MS = 3_600_000


async def test_tells_of_the_session_its_owner_and_its_deadline(world):
    manager = world.manager(events=True)
    session_id = await manager.allocate_session(user_id="alice", ttl_hours=1)
    [(bucket, entry)] = await read_events(world)
    record = (await manager.get_session_metadata(session_id)).version, world.clock.now_ms()
    assert (entry.kind, entry.reason, entry.sandbox, entry.version) == ("created", None, "test", record[0])
    assert entry.session_hash(bucket) == session_hash(session_id)
    assert (entry.owner, entry.salt, entry.replaced_by) == (b"alice", None, None)
    assert (entry.created, entry.expires_at) == (record[1], record[1] + HOUR_MS)


async def test_no_other_manager_emits_events(world):
    session_id = await world.manager().allocate_session(user_id="alice")
    await world.manager(events=True).extend_session_ttl(session_id, 1)
    await world.manager(events="updates").update_session_metadata(session_id, {"a": 1})
    assert await world.manager(events=True).delete_session(session_id)
    assert await read_events(world) == []


@pytest.mark.parametrize("text", ["1", "updates"])
async def test_the_environment_turns_events_on(world, monkeypatch, text):
    monkeypatch.setenv("SESSION_EVENTS", text)
    session_id = await world.manager().allocate_session()
    await world.manager().update_session_metadata(session_id, {"a": 1})
    silent = await world.manager(events=False).allocate_session()
    assert await summary(world, session_id, silent) == ["created"] + ["updated"] * (text == "updates")


async def test_malformed_settings_raise_errors(world, monkeypatch):
    with pytest.raises(ValueError, match="events"):
        world.manager(events="all")
    with pytest.raises(ValueError, match="max_events"):
        world.manager(events=True, max_events=0)
    monkeypatch.setenv("SESSION_EVENTS", "yes")
    with pytest.raises(ValueError, match="SESSION_EVENTS"):
        world.manager()


async def test_a_custom_provider_refuses_events(single):
    if single.backend.name == "custom":
        with pytest.raises(NotSupportedError, match="streams"):
            single.manager(events=True)


async def test_a_session_that_is_touched_or_refused_has_no_second_event(world):
    manager = world.manager(events=True)
    for _ in range(3):
        await manager.allocate_session("own", "alice")
    with pytest.raises(SessionOwnerError):
        await manager.allocate_session("own", "bob")
    assert await summary(world, "own") == ["created"]


async def test_a_replaced_session_ends_before_the_new_one_begins(world):
    manager = world.manager(events=True)
    await manager.allocate_session("own", "alice")
    await manager.allocate_session("own", "bob", mode="replace")
    assert await summary(world, "own") == ["created", "ended replaced", "created"]
    entries = [entry for _, entry in await read_events(world)]
    assert [entry.owner for entry in entries] == [b"alice", b"alice", b"bob"]
    assert [entry.version for entry in entries] == [1, 1, 2]
    assert len({entry.event_id for entry in entries}) == 3


async def test_sessions_of_one_id_within_a_ms_have_events_of_their_own(world):
    manager = world.manager(events=True)
    for _ in range(3):
        await manager.allocate_session("own", ttl_hours=1)
        await manager.delete_session("own")
    entries = [entry for _, entry in await read_events(world)]
    assert len({entry.event_id for entry in entries}) == 6
    assert {entry.expires_at - world.clock.now_ms() for entry in entries} == {HOUR_MS}


@pytest.mark.parametrize("events", [False, True])
async def test_the_record_decides_about_the_end_and_the_manager_about_the_beginning(world, events):
    await world.manager(events=not events).allocate_session("own")
    await world.manager(events=events).allocate_session("own", mode="replace")
    assert await summary(world, "own") == (["created"] if events else ["created", "ended replaced"])


@pytest.mark.parametrize("mode", ["touch", "create", "replace"])
async def test_an_earlier_session_of_the_same_id_that_no_sweep_has_removed_ends_first(world, mode):
    manager = world.manager(events=True)
    await manager.allocate_session("own", "alice", ttl_hours=1)
    await world.advance(hours=1)
    await world.manager().allocate_session("own", "bob", mode=mode)
    assert await summary(world, "own") == ["created", "ended expired"]
    _, end = (await read_events(world))[-1]
    assert (end.owner, end.owner_is_known) == (b"alice", True)
    assert await manager.cleanup_expired_sessions() == 0


async def test_an_earlier_session_may_have_been_idle(world):
    await world.manager(events=True, idle_timeout_seconds=60).allocate_session("own")
    await world.advance(seconds=61)
    await world.manager(events=True).allocate_session("own")
    assert await summary(world, "own") == ["created", "ended idle", "created"]


async def test_sessions_that_the_cap_evicts_end(world):
    manager = world.manager(events=True, max_sessions_per_user=2)
    created = []
    for _ in range(4):
        created.append(await manager.allocate_session(user_id="alice"))
        await world.advance(ms=5)
    told = ["created", "ended evicted"] * 2 + ["created"] * 2
    assert await summary(world, *created) == told


async def test_expired_sessions_that_make_room_under_a_cap_end_as_expired(world):
    manager = world.manager(events=True, max_sessions_per_user=1)
    first = await manager.allocate_session(user_id="alice", ttl_hours=1)
    await world.advance(hours=2)
    second = await manager.allocate_session(user_id="alice")
    await world.advance(seconds=1)
    third = await manager.allocate_session(user_id="alice")
    told = ["created", "ended expired", "created", "ended evicted", "created"]
    assert await summary(world, first, second, third) == told
    assert await manager.cleanup_expired_sessions() == 0


async def test_a_refused_session_has_no_event(world):
    manager = world.manager(events=True, max_sessions_per_user=1, when_full="refuse")
    first = await manager.allocate_session(user_id="alice")
    with pytest.raises(SessionLimitError):
        await manager.allocate_session(user_id="alice")
    assert len(await read_events(world)) == len(await summary(world, first)) == 1


def creation(session_id, **options):
    given = {"events": event_entries.DEFAULT_CAP, **options}
    return operations.allocate(
        keys.session_keys("test", session_id), "test", ttl_ms=HOUR_MS, idle_ms=0, owner=b"alice",
        user=ids.user_hash("alice"), cap=0, retention_ms=300_000, create=True, **given,
    )  # fmt: skip


async def test_a_creation_that_is_repeated_under_its_operation_id_has_one_event(world):
    for _ in range(2):
        call = creation("own", mode=b"create", operation_id=b"once")
        assert await world.backend.run(call) == [statuses.CREATED]
    assert await summary(world, "own") == ["created"]


async def test_an_event_carries_the_salt(world):
    await world.backend.run(creation("own", pairs=[b"s", b"grain", b"m:a", b"1"]))
    await world.backend.run(operations.delete(keys.session_keys("test", "own")))
    assert [entry.salt for _, entry in await read_events(world)] == [b"grain", b"grain"]


async def test_a_stream_keeps_no_more_than_its_cap_and_counts_what_it_drops(world):
    session_id = id_in(HOME, "alice")
    calls = [creation(session_id, events=200)]
    calls += [
        operations.extend(
            keys.session_keys("test", session_id), additional_ms=1, operation_id=b"%d" % number, retention_ms=0
        )
        for number in range(600)
    ]
    for call in calls:
        assert (await world.backend.run(call))[0] in (statuses.OK, statuses.CREATED)
    entries = [entry for _, entry in await read_events(world, [HOME])]
    assert 200 <= len(entries) <= 300
    assert [entry.version for entry in entries] == list(range(602 - len(entries), 602))


async def test_ids_of_entries_rise_although_the_clock_steps_back(world):
    manager = world.manager(events=True)
    session_id = await manager.allocate_session(user_id="alice")
    await world.advance(hours=-1)
    await manager.extend_session_ttl(session_id, 1)
    found = [entry.stream_id for _, entry in await read_events(world)]
    assert len(found) == 2
    call = index_operations.read_events(keys.events(HOME), after=found[0])
    assert [entry[0] for entry in (await world.backend.run(call))[1]] == found[1:]
