"""The contract of `adopt`: a session of another store is written once, whatever happens to it afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chuk_sessions.core import adoption, ids, index_operations, keys, operations, statuses
from chuk_sessions.core.record import ADOPTED, fields_of

ID = "sess-alice-1700000000-0a1b2c3d"
HOUR = 3_600_000
DAY = 24 * HOUR


def session(world, **changes):
    """Return a session of alice that was created an hour ago and lives for another hour."""
    now = world.clock.now_ms()
    found = adoption.Adopted(
        created=now - HOUR,
        deadline=now + HOUR,
        accessed=now - 60_000,
        idle=0,
        version=1,
        owner=b"alice",
        user=ids.user_hash("alice"),
        pairs=[b"m:cart", b"[1]"],
        fingerprint=b"first",
    )
    return replace(found, **changes)


def target(session_id=ID):
    return keys.session_keys("test", session_id)


async def adopt(world, found, session_id=ID, overlap_ms=0, **options):
    call = adoption.adopt(target(session_id), found, overlap_ms=overlap_ms, retention_ms=300_000, **options)
    return (await world.backend.run(call))[0]


async def block(world, **options):
    return (await world.backend.run(adoption.block(target(), overlap_ms=0, **options)))[0]


async def marker(world):
    return fields_of((await world.backend.run(operations.fetch_marker(target())))[1])


async def test_writes_a_session_with_its_own_times(single):
    found = session(single)
    assert await adopt(single, found) == statuses.CREATED
    stored = await single.manager().get_session_metadata(ID)
    record = fields_of((await single.backend.run(operations.fetch(target())))[1])
    assert (stored.user_id, stored.custom_metadata, stored.version) == ("alice", {"cart": [1]}, 1)
    assert [int(record[name]) for name in (b"c", b"d", b"a", b"t")] == [
        found.created, found.deadline, found.accessed, found.deadline,
    ]  # fmt: skip
    assert int(record[b"z"]) >= len("m:cart[1]")


async def test_keeps_idle_timeout_and_version(single):
    found = session(single, idle=120_000, version=7)
    assert await adopt(single, found) == statuses.CREATED
    assert (await single.manager().get_session_metadata(ID)).version == 7
    await single.advance(seconds=59)
    assert await single.manager().get_session_metadata(ID)
    await single.advance(seconds=1)
    assert await single.manager().get_session_metadata(ID) is None


async def test_adds_the_session_to_the_indexes(world):
    await adopt(world, session(world))
    manager = world.manager()
    assert await manager.count_sessions("alice") == 0, "in another bucket than the user's, so it needs a note"
    assert await manager.list_sessions() == [target().reference]
    await world.advance(hours=1)
    assert await manager.cleanup_expired_sessions() == 1


async def test_leaves_a_live_session_as_it_is(single):
    assert await adopt(single, session(single)) == statuses.CREATED
    assert await adopt(single, session(single, pairs=[b"m:cart", b"[2]"], fingerprint=b"next")) == statuses.EXISTS
    assert (await single.manager().get_session_metadata(ID)).custom_metadata == {"cart": [1]}


@pytest.mark.parametrize("gone_at", ["deadline", "idle"])
async def test_does_not_adopt_what_has_expired(single, gone_at):
    now = single.clock.now_ms()
    changes = {"deadline": now} if gone_at == "deadline" else {"idle": 60_000}
    assert await adopt(single, session(single, **changes)) == statuses.GONE
    assert await marker(single) == {}


async def end_by_deletion(world):
    assert await world.manager().delete_session(ID)


async def end_by_rotation(world):
    assert await world.manager().rotate_session(ID)


async def end_by_login(world):
    assert await world.manager().rotate_session(ID, user_id="bob")


async def end_by_its_idle_timeout(world):
    await world.advance(seconds=600)


async def end_by_another_deadline(world):
    assert await world.manager().set_session_ttl(ID, 0.01)
    await world.advance(seconds=600)


ENDS = [end_by_deletion, end_by_rotation, end_by_login, end_by_its_idle_timeout, end_by_another_deadline]


@pytest.mark.parametrize("end", ENDS)
async def test_an_id_is_not_adopted_again_until_the_deadline_of_the_source(single, end):
    found = session(single, idle=300_000)
    assert await adopt(single, found) == statuses.CREATED
    await end(single)
    later = session(single, deadline=found.deadline)
    assert await adopt(single, later) == statuses.GONE
    # The record is kept for some time after an end, and the marker for longer.
    await single.advance(seconds=(found.deadline - single.clock.now_ms()) / 1000 - 1)
    assert await adopt(single, session(single, deadline=found.deadline)) == statuses.GONE
    assert await single.manager().get_session_metadata(ID) is None


async def test_an_evicted_id_is_not_adopted_again(world):
    manager = world.manager(max_sessions_per_user=1)
    home = f"sess-alice-1700000000-{ids.home_bucket('test', 'alice'):02x}{7:032x}"
    assert await adopt(world, session(world), home) == statuses.CREATED
    await manager.allocate_session(user_id="alice")
    assert await manager.get_session_metadata(home) is None
    assert await adopt(world, session(world), home) == statuses.GONE


async def test_a_revoked_id_is_not_adopted_again(world):
    await adopt(world, session(world))
    assert await world.manager().revoke_session(target().reference)
    assert await adopt(world, session(world)) == statuses.GONE


async def test_an_expired_and_swept_id_is_not_adopted_again(world):
    found = session(world, deadline=world.clock.now_ms() + DAY)
    await adopt(world, found)
    await world.manager().set_session_ttl(ID, 1)
    await world.advance(hours=2)
    assert await world.manager().cleanup_expired_sessions() == 1
    assert await adopt(world, replace(found, fingerprint=b"next")) == statuses.GONE


async def test_a_marker_counts_for_the_overlap_and_until_the_latest_deadline_seen(single):
    now = single.clock.now_ms()
    await adopt(single, session(single), overlap_ms=DAY)
    assert adoption.valid_until(await marker(single)) == now + DAY
    await adopt(single, session(single, deadline=now + 2 * DAY))
    assert adoption.valid_until(await marker(single)) == now + 2 * DAY
    await adopt(single, session(single))
    assert adoption.valid_until(await marker(single)) == now + 2 * DAY


async def test_the_old_processes_may_extend_a_session_that_was_deleted_here(single):
    await adopt(single, session(single), overlap_ms=2 * DAY)
    await single.manager().delete_session(ID)
    await single.advance(hours=30)
    assert await adopt(single, session(single, deadline=single.clock.now_ms() + 3 * DAY)) == statuses.GONE
    await single.advance(hours=60)
    assert await adopt(single, session(single, deadline=single.clock.now_ms() + HOUR)) == statuses.GONE


async def test_a_blocked_id_is_not_adopted(single):
    assert await block(single, deadline_ms=single.clock.now_ms() + 2 * HOUR) == statuses.GONE
    assert await adopt(single, session(single)) == statuses.GONE
    await single.advance(hours=1.5)
    soon = single.clock.now_ms() + HOUR // 4
    assert await adopt(single, session(single, deadline=soon)) == statuses.GONE
    await single.advance(hours=0.5)
    assert await adopt(single, session(single)) == statuses.CREATED


async def test_a_block_leaves_a_live_session_as_it_is(single):
    await adopt(single, session(single))
    assert await block(single) == statuses.EXISTS
    assert await single.manager().validate_session(ID)


async def test_a_session_of_the_application_under_the_same_id_is_neither_changed_nor_followed_by_another(single):
    manager = single.manager()
    await manager.allocate_session("mine", custom_metadata={"own": True})
    assert await adopt(single, session(single), "mine") == statuses.EXISTS
    assert await adopt(single, session(single), "mine", mode=adoption.IF_UNCHANGED) == statuses.EXISTS
    assert (await manager.get_session_metadata("mine")).custom_metadata == {"own": True}
    await manager.delete_session("mine")
    assert await adopt(single, session(single), "mine") == statuses.GONE


async def test_a_rotated_session_is_not_marked_as_adopted(single):
    await adopt(single, session(single))
    new_id = await single.manager().rotate_session(ID, grace_seconds=10)
    record = fields_of((await single.backend.run(operations.fetch(target(new_id))))[1])
    assert ADOPTED not in record
    assert await adopt(single, session(single)) == statuses.MOVED


async def test_brings_an_unchanged_session_up_to_date(single):
    await adopt(single, session(single, pairs=[b"m:cart", b"[1]", b"m:old", b"1"]))
    await single.advance(seconds=5)
    assert await single.manager().validate_session(ID), "an access is no change"
    accessed = single.clock.now_ms()
    newer = session(single, deadline=accessed + 2 * HOUR, pairs=[b"m:cart", b"[2]"], fingerprint=b"second")
    assert await adopt(single, newer, mode=adoption.IF_UNCHANGED) == statuses.OK
    record = fields_of((await single.backend.run(operations.fetch(target())))[1])
    assert (int(record[b"d"]), int(record[b"a"]), record[b"v"]) == (newer.deadline, accessed, b"2")
    assert (await single.manager().get_session_metadata(ID)).custom_metadata == {"cart": [2]}
    assert await adopt(single, newer, mode=adoption.IF_UNCHANGED) == statuses.EXISTS
    again = replace(newer, pairs=[], fingerprint=b"third")
    assert await adopt(single, again, mode=adoption.IF_UNCHANGED) == statuses.OK


@pytest.mark.parametrize("events", [0, 100])
async def test_passes_on_a_later_access_and_nothing_else(single, events):
    found = session(single, idle=300_000, accessed=single.clock.now_ms() - 200_000)
    assert await adopt(single, found, events=events) == statuses.CREATED
    await single.manager().rate_limit_session(ID, "api", 5, 60)
    await single.advance(seconds=60)
    later = replace(found, accessed=single.clock.now_ms())
    assert await adopt(single, later) == statuses.EXISTS, "in this mode, the session here is left as it is"
    assert await adopt(single, later, mode=adoption.IF_UNCHANGED) == statuses.OK
    assert await adopt(single, later, mode=adoption.IF_UNCHANGED) == statuses.EXISTS
    assert await adopt(single, found, mode=adoption.IF_UNCHANGED) == statuses.EXISTS, "an earlier access"
    record = fields_of((await single.backend.run(operations.fetch(target())))[1])
    assert (int(record[b"a"]), record[b"v"]) == (later.accessed, b"1")
    assert b"l:api" in record
    await single.advance(seconds=299)
    assert await single.manager().get_session_metadata(ID)
    await single.advance(seconds=1)
    assert await single.manager().get_session_metadata(ID) is None


@pytest.mark.parametrize("theirs", [b"0", b"9" * 15])
async def test_a_refresh_keeps_the_rate_limit_that_is_used_up_further(single, theirs):
    await adopt(single, session(single))
    await single.manager().rate_limit_session(ID, "api", 5, 60)
    ours = fields_of((await single.backend.run(operations.fetch(target())))[1])[b"l:api"]
    newer = session(single, pairs=[b"l:api", theirs, b"m:a", b"1"], fingerprint=b"second")
    assert await adopt(single, newer, mode=adoption.IF_UNCHANGED) == statuses.OK
    record = fields_of((await single.backend.run(operations.fetch(target())))[1])
    assert record[b"l:api"] == max(ours, theirs, key=int)
    assert int(record[b"z"]) >= len("m:a1") + len("l:api") + len(record[b"l:api"])


async def test_a_refresh_keeps_the_record_until_the_idle_timeout_here(single):
    found = session(single, idle=600_000)
    assert await adopt(single, found) == statuses.CREATED
    await single.advance(seconds=500)
    assert await single.manager().validate_session(ID)
    assert await adopt(single, replace(found, fingerprint=b"second"), mode=adoption.IF_UNCHANGED) == statuses.OK
    await single.advance(seconds=599)
    assert await single.manager().cleanup_expired_sessions() == 0
    assert await single.manager().get_session_metadata(ID)


async def test_does_not_write_over_a_session_that_was_changed_here(single):
    await adopt(single, session(single))
    await single.manager().update_session_metadata(ID, {"cart": [3]})
    newer = session(single, pairs=[b"m:cart", b"[2]"], fingerprint=b"second")
    assert await adopt(single, newer, mode=adoption.IF_UNCHANGED) == statuses.EXISTS
    assert (await single.manager().get_session_metadata(ID)).custom_metadata == {"cart": [3]}


async def test_a_session_brought_up_to_date_emits_events_as_before(world):
    await adopt(world, session(world), events=100)
    newer = session(world, fingerprint=b"second")
    assert await adopt(world, newer, mode=adoption.IF_UNCHANGED) == statuses.OK
    await world.manager().delete_session(ID)
    found = (await world.backend.run(index_operations.read_events(target().index_keys.events)))[1]
    assert [flat[3] for _, flat in found] == [b"c1", b"d2"]


async def test_a_record_that_cannot_be_read_is_left_alone(world):
    await adopt(world, session(world))
    await world.manager().delete_session(ID)
    damaged = operations.allocate(
        target(), "test", ttl_ms=HOUR, idle_ms=0, owner=b"", user=0, cap=0, retention_ms=0, create=True,
        pairs=[b"a", b"never"],
    )  # fmt: skip
    await world.backend.run(damaged)
    assert await adopt(world, session(world)) == statuses.CORRUPT
