"""check_grant: tell another sandbox whether a grant counts at this moment."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions import CorruptRecordError, KeyUnavailableError, SessionUnavailableError, session_hash
from chuk_sessions.core import data_operations, keys, operations
from chuk_sessions.core import statuses as s
from chuk_sessions.core.ids import home_bucket, locate
from chuk_sessions.encryption import Encryption, generate_key
from chuk_sessions.federation import Federation, generate_signing_key
from chuk_sessions.providers.factory import Factory
from tests.harness.federated import GIVING, KEY, RESOLVING, pair
from tests.harness.strays import HOME, id_in
from tests.harness.worlds import Intercepted


async def given(manager, **options):
    """Return the id of a session, and the token of a grant for it."""
    session_id = await manager.allocate_session(**options)
    return session_id, await manager.grant_session(session_id, to="other", path="reports")


async def test_the_result_describes_grant_and_session(single):
    manager, other = pair(single)
    for user_id in (None, "alice", "a/b {c}*é"):
        session_id, token = await given(manager, user_id=user_id)
        found = await other.resolve_grant(token, "reports/2026")
        assert (found.sandbox_id, found.session_hash, found.user_id) == ("test", session_hash(session_id), user_id)
        assert (found.path, found.actions) == ("reports", ("read",))
        (listed,) = await manager.list_grants(session_id)
        assert found.expires_at == listed.expires_at


PATHS = {
    "reports": True,
    "reports/2026": True,
    "reports/a b/é/c": True,
    "reports2": False,
    "report": False,
    "Reports": False,
    "": False,
    "/reports": False,
    "reports/": False,
    "reports//a": False,
    "reports/..": False,
    "reports/../x": False,
    "reports/%2e%2e/x": False,
    "reports/%252e%252e/x": False,
    "reports/%2e": False,
    "reports%2f..": False,
    "reports\\a": False,
    "reports/\0": False,
    "reports/\ud800": False,
    "x/reports": False,
}


async def test_covers_paths_by_whole_segments(single):
    manager, other = pair(single)
    _, token = await given(manager)
    assert {path: bool(await other.resolve_grant(token, path)) for path in PATHS} == PATHS


async def test_takes_grid_paths_by_reference(single):
    manager, other = pair(single)
    session_id, token = await given(manager)
    by_reference = manager.generate_artifact_key(session_id, "reports", "2026", by_reference=True)
    assert await other.resolve_grant(token, by_reference)
    for path in (
        manager.generate_artifact_key(session_id, "reports", "2026"),
        manager.generate_artifact_key("mine", "reports", by_reference=True),
        by_reference.replace("test", "other"),
        by_reference.replace("reports", "reports2"),
        manager.get_canonical_prefix(session_id, by_reference=True),
        "grid/",
        "grid/reports",
    ):
        assert await other.resolve_grant(token, path) is None


async def test_the_whole_session_is_covered_by_default(single):
    manager, other = pair(single)
    session_id = await manager.allocate_session()
    token = await manager.grant_session(session_id, to="other")
    prefix = manager.get_canonical_prefix(session_id, by_reference=True)
    for path in ("", "a", "a/b", prefix, prefix.rstrip("/"), f"{prefix}a"):
        assert await other.resolve_grant(token, path), path


async def test_only_granted_actions_are_allowed(single):
    manager, other = pair(single)
    session_id = await manager.allocate_session()
    token = await manager.grant_session(session_id, to="other", actions=["read", "list"])
    assert await other.resolve_grant(token, "a", "list")
    for action in ("write", "rea", "read list", "", None, ["read"]):
        assert await other.resolve_grant(token, "a", action) is None


async def test_anything_else_than_a_token_is_refused(single):
    _, other = pair(single)
    for token in (None, "", "x", "a.b.c", 1, b"x", "\ud800", "a" * 10_000, ["x"]):
        assert await other.resolve_grant(token, "a") is None


async def test_only_the_audience_can_use_it(single):
    manager, other = pair(single)
    _, token = await given(manager)
    assert await other.resolve_grant(token, "reports")
    assert await single.manager("third", **RESOLVING).resolve_grant(token, "reports") is None
    assert await manager.resolve_grant(token, "reports") is None


async def test_only_pinned_keys_count(single):
    manager, _ = pair(single)
    _, token = await given(manager)
    key = generate_signing_key().public_key()
    for trust in ({}, {"test": {"k1": key}}, {"test": {"k2": KEY.public_key()}}, {"third": {"k1": KEY.public_key()}}):
        other = single.manager("other", federation=Federation(trust=trust))
        assert await other.resolve_grant(token, "reports") is None


async def test_a_sandbox_cannot_grant_what_belongs_to_another(single):
    """Whoever has a trusted key can sign for its own sandbox only: the grant must be in the record, too."""
    third = generate_signing_key()
    manager, _ = pair(single)
    session_id, _ = await given(manager)
    forger = single.manager("third", federation=Federation(keys={"k1": third}))
    await forger.allocate_session(session_id)
    token = await forger.grant_session(session_id, to="other")
    trust = {"test": {"k1": KEY.public_key()}, "third": {"k1": third.public_key()}}
    found = await single.manager("other", federation=Federation(trust=trust)).resolve_grant(token, "a")
    assert found.sandbox_id == "third"


async def delete(manager, session_id):
    await manager.delete_session(session_id)


async def revoke(manager, session_id):
    await manager.revoke_session(session_hash(session_id), user_id="alice")


async def revoke_grants(manager, session_id):
    assert await manager.revoke_grants(session_id) == 1


async def log_in(manager, session_id):
    await manager.rotate_session(session_id, user_id="bob")


async def log_in_again(manager, session_id):
    await manager.rotate_session(session_id, user_id="alice")


async def replace(manager, session_id):
    await manager.allocate_session(session_id, user_id="alice", mode="replace")


ENDS = (delete, revoke, revoke_grants, log_in, log_in_again, replace)


@pytest.mark.parametrize("end", ENDS, ids=[end.__name__ for end in ENDS])
async def test_a_grant_is_refused_at_once_when_it_or_its_session_ends(single, end):
    manager, other = pair(single)
    session_id, token = await given(manager, user_id="alice")
    assert await other.resolve_grant(token, "reports")
    await end(manager, session_id)
    assert await other.resolve_grant(token, "reports") is None


async def test_all_sessions_of_a_user_are_revoked_with_their_grants(world):
    manager, other = pair(world)
    _, token = await given(manager, user_id="alice")
    assert await manager.revoke_user_sessions("alice") == 1
    assert await other.resolve_grant(token, "reports") is None


async def test_an_evicted_session_ends_its_grants(world):
    manager, other = pair(world, max_sessions_per_user=1)
    _, token = await given(manager, user_id="alice")
    await manager.allocate_session(user_id="alice")
    assert await other.resolve_grant(token, "reports") is None


async def test_a_grant_expires_by_the_clock_of_the_store(single):
    manager, other = pair(single)
    _, token = await given(manager)
    await single.advance(seconds=298)
    assert await other.resolve_grant(token, "reports")
    await single.advance(seconds=2)
    assert await other.resolve_grant(token, "reports") is None


async def test_a_grant_expires_with_its_session(single):
    manager, other = pair(single, idle_timeout_seconds=60)
    _, token = await given(manager)
    _, short = await given(manager, ttl_hours=0.01)
    await single.advance(seconds=36)
    assert await other.resolve_grant(token, "reports")
    assert await other.resolve_grant(short, "reports") is None, "the deadline is over"
    await single.advance(seconds=24)
    assert await other.resolve_grant(token, "reports") is None, "the session is idle: a grant is no access"


@pytest.mark.parametrize("grace_seconds", [0, 30])
async def test_a_grant_survives_rotations(single, grace_seconds):
    manager, other = pair(single)
    session_id, token = await given(manager, user_id="alice")
    old = session_id
    for _ in range(3):
        session_id = await manager.rotate_session(session_id, grace_seconds=grace_seconds)
        assert await other.resolve_grant(token, "reports")
        await single.advance(seconds=31)
        assert (await other.resolve_grant(token, "reports")).session_hash == session_hash(old)
        assert await single.manager("other", **RESOLVING).resolve_grant(token, "reports"), "in another process, too"
        assert not await manager.validate_session(old)
    await manager.delete_session(session_id)
    assert await other.resolve_grant(token, "reports") is None


async def test_the_pointer_for_grants_disappears_with_the_last_one(single):
    manager, _ = pair(single)
    old = await manager.allocate_session()
    await manager.grant_session(old, to="other", ttl_seconds=60)
    await manager.grant_session(old, to="other", ttl_seconds=30)
    await manager.rotate_session(old)
    target = keys.session_keys("test", old)
    assert (await single.backend.run(operations.fetch(target)))[1] != []
    await single.advance(seconds=61)
    await manager.validate_session(old)
    record = (await single.backend.run(operations.fetch(target)))[1]
    assert record == [] or int(dict(zip(record[::2], record[1::2], strict=True))[b"p"]) <= single.clock.now_ms()


async def test_without_grants_a_rotation_leaves_no_pointer(single):
    manager, _ = pair(single)
    old = await manager.allocate_session()
    await manager.rotate_session(old)
    assert await single.backend.run(operations.fetch(keys.session_keys("test", old))) == [s.OK, []]


async def test_a_login_leaves_no_pointer(single):
    manager, _ = pair(single)
    old, _ = await given(manager, user_id="alice")
    await manager.rotate_session(old, user_id="alice")
    assert await single.backend.run(operations.fetch(keys.session_keys("test", old))) == [s.OK, []]


async def test_whoever_has_an_old_id_cannot_end_the_grants(single):
    manager, other = pair(single)
    old, token = await given(manager)
    new = await manager.rotate_session(old)
    assert not await manager.validate_session(old)
    assert not await manager.delete_session(old)
    assert not await manager.revoke_session(session_hash(old))
    assert await manager.revoke_grants(old) == 0
    assert await manager.rotate_session(old) is None
    assert await other.resolve_grant(token, "reports")
    assert await manager.delete_session(new)
    assert await other.resolve_grant(token, "reports") is None


async def test_an_old_id_that_is_used_again_takes_no_grants_over(single):
    manager, other = pair(single)
    _, token = await given(manager, session_id="mine")
    await manager.rotate_session("mine")
    await manager.allocate_session("mine", custom_metadata={"a": 1})
    assert await other.resolve_grant(token, "reports") is None
    assert await manager.list_grants("mine") == []
    assert (await manager.get_session_metadata("mine")).custom_metadata == {"a": 1}


@pytest.mark.parametrize("grace_seconds", [0, 30])
async def test_a_grant_survives_the_move_to_another_bucket(world, grace_seconds):
    manager, other = pair(world, max_sessions_per_user=3)
    old, token = await given(manager, session_id=id_in(HOME + 1), user_id="alice")
    new = await manager.rotate_session(old, grace_seconds=grace_seconds)
    assert locate(new)[0] == home_bucket("test", "alice") != locate(old)[0]
    assert await other.resolve_grant(token, "reports")
    await world.advance(seconds=31)
    assert not await manager.validate_session(old)
    newer = await manager.rotate_session(new)
    assert await single_resolver(world).resolve_grant(token, "reports")
    assert [grant.path for grant in await manager.list_grants(newer)] == ["reports"]
    assert await manager.revoke_grant(token)
    assert await other.resolve_grant(token, "reports") is None


def single_resolver(world):
    """Return another manager of the audience, which remembers nothing."""
    return world.manager("other", **RESOLVING)


async def test_it_is_no_access_and_writes_nothing(world):
    manager, other = pair(world)
    session_id, token = await given(manager)
    target, reports = keys.session_keys("test", session_id), []
    before = await world.backend.run(operations.fetch(target))
    remove = world.backend.write_hook.add(lambda records, call: reports.append(call))
    await world.advance(seconds=5)
    assert await other.resolve_grant(token, "reports")
    remove()
    assert await world.backend.run(operations.fetch(target)) == before
    assert reports == []


async def test_a_store_failure_is_no_refusal(world):
    manager, _ = pair(world)
    _, token = await given(manager)

    async def fail(call):
        raise SessionUnavailableError("down")

    factory = Factory(Intercepted(world.backend, fail), lambda: None)
    other = type(manager)("other", factory, **RESOLVING)
    with pytest.raises(SessionUnavailableError):
        await other.resolve_grant(token, "reports")
    assert await other.resolve_grant(token, "elsewhere") is None, "nobody needs to ask the store for that"


async def test_a_damaged_record_is_no_refusal(single):
    manager, other = pair(single)
    session_id, token = await given(manager)
    await single.backend.run(data_operations.merge(keys.session_keys("test", session_id), pairs=[b"d", b"x"]))
    with pytest.raises(CorruptRecordError):
        await other.resolve_grant(token, "reports")


async def test_a_damaged_grant_does_not_count(single):
    manager, other = pair(single)
    session_id, token = await given(manager)
    (listed,) = await manager.list_grants(session_id)
    for value in (b"", b" other read ", b"x other read ", b"1e99 other read ", b"-5 other"):
        pairs = [f"g:{listed.jti}".encode(), value]
        await single.backend.run(data_operations.merge(keys.session_keys("test", session_id), pairs=pairs))
        assert await other.resolve_grant(token, "reports") is None
        assert await manager.list_grants(session_id) == []


async def test_with_encryption_the_keys_of_the_sandbox_show_the_user(single):
    key = generate_key()
    manager = single.manager(encryption=Encryption({"e1": key}, primary="e1"), **GIVING)
    session_id = await manager.allocate_session(user_id="alice")
    token = await manager.grant_session(session_id, to="other")
    other = single.manager("other", encryption=Encryption({"e1": key}, primary="e1"), **RESOLVING)
    assert (await other.resolve_grant(token, "x")).user_id == "alice"
    with pytest.raises(KeyUnavailableError):
        await single.manager("other", **RESOLVING).resolve_grant(token, "x")


async def test_after_a_revocation_no_later_check_succeeds(world):
    manager, other = pair(world)
    for _ in range(10):
        _, token = await given(manager)
        ended = asyncio.Event()

        async def check(token=token, ended=ended):
            after = ended.is_set()
            found = await other.resolve_grant(token, "reports")
            return found is None or not after

        async def end(token=token, ended=ended):
            assert await manager.revoke_grant(token)
            ended.set()

        checks = [check() for _ in range(10)]
        assert all((await asyncio.gather(*checks[:5], end(), *checks[5:]))[:5])
        assert await other.resolve_grant(token, "reports") is None
