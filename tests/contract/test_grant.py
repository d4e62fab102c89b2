"""grant: store the permission for another sandbox to use one path of a session."""

from __future__ import annotations

import asyncio
from datetime import datetime

import jwt
import pytest

from chuk_sessions import GrantLimitError, SessionTooLargeError, session_hash
from chuk_sessions.core import data_operations, grants, ids, keys, operations
from chuk_sessions.core import statuses as s
from chuk_sessions.models import iso_from_ms
from tests.harness.federated import KEY, pair


def claims_of(token):
    """Return the claims of a token, as another library reads them."""
    options = {"verify_exp": False, "verify_iat": False}
    return jwt.decode(token, KEY.public_key(), algorithms=["EdDSA"], audience="other", options=options)


async def fields_of(world, session_id):
    reply = await world.backend.run(operations.read(keys.session_keys("test", session_id)))
    return dict(zip(reply[1][::2], reply[1][1::2], strict=True))


async def test_returns_a_signed_token(single):
    manager, _ = pair(single)
    session_id = await manager.allocate_session()
    token = await manager.grant_session(session_id, to="other", path="reports/", actions=["read", "list"])
    claims, now = claims_of(token), single.clock.now_ms() // 1000
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "grid-grant+jwt", "kid": "k1"}
    assert claims["jti"].startswith(session_hash(session_id))
    del claims["jti"]
    assert claims == {
        "iss": "test", "aud": "other", "sub": session_hash(session_id), "path": "reports", "scope": "read list",
        "iat": now, "exp": now + 300,
    }  # fmt: skip
    assert len(token) < 450


async def test_a_grant_is_a_field_of_the_record(single):
    manager, _ = pair(single)
    session_id = await manager.allocate_session()
    before = await fields_of(single, session_id)
    token = await manager.grant_session(session_id, to="other", path="é/doc 1")
    field, expiry = f"g:{claims_of(token)['jti']}".encode(), 1000 * claims_of(token)["exp"]
    after = await fields_of(single, session_id)
    value = f"{expiry} other read é/doc 1".encode()
    size = int(before[b"z"]) + len(field) + len(value)
    assert after == {**before, field: value, b"p": b"%d" % expiry, b"z": b"%d" % size}


async def test_is_neither_an_access_nor_a_change_of_the_version(single):
    manager, other = pair(single)
    session_id = await manager.allocate_session()
    before = await manager.get_session_metadata(session_id)
    await single.advance(seconds=5)
    token = await manager.grant_session(session_id, to="other")
    assert await other.resolve_grant(token, "x")
    assert await manager.revoke_grant(token)
    after = await manager.get_session_metadata(session_id)
    assert (after, after.version) == (before, before.version)


async def test_never_outlives_the_deadline_or_the_longest_time(single):
    manager, _ = pair(single)
    session_id, short = await manager.allocate_session(), await manager.allocate_session(ttl_hours=0.01)
    deadline = datetime.fromisoformat((await manager.get_session_metadata(short)).expires_at).timestamp()
    assert claims_of(await manager.grant_session(short, to="other"))["exp"] == int(deadline)
    long = claims_of(await manager.grant_session(session_id, to="other", ttl_seconds=10**9))
    assert long["exp"] == long["iat"] + 86_400


async def test_nothing_is_granted_for_a_session_that_does_not_exist(single):
    manager, _ = pair(single)
    for session_id in ("sess-1700000000-00" + "0" * 32, "mine", "../x", "", None):
        assert await manager.grant_session(session_id, to="other") is None


async def test_nothing_is_granted_within_the_last_second(single):
    manager, _ = pair(single)
    session_id = await manager.allocate_session(ttl_hours=1)
    await single.advance(hours=1, ms=-1)
    assert await manager.validate_session(session_id)
    token = await manager.grant_session(session_id, to="other")
    assert token is None or claims_of(token)["exp"] * 1000 > single.clock.now_ms()


BAD = {
    "no audience": {"to": ""},
    "a malformed audience": {"to": "a/b"},
    "a path that leaves the session": {"path": "../x"},
    "an encoded path that leaves the session": {"path": "a/%2e%2e"},
    "a path from the root": {"path": "/a"},
    "an empty segment": {"path": "a//b"},
    "a path of another session": {"path": f"grid/test/{session_hash('x')}/a"},
    "a path of another sandbox": {"path": "grid/other/mine/a"},
    "no path": {"path": None},
    "no actions": {"actions": ()},
    "one text as actions": {"actions": "read"},
    "an action with a space": {"actions": ["read all"]},
    "too many actions": {"actions": [f"a{number}" for number in range(17)]},
    "an action that is no text": {"actions": [1]},
    "no time": {"ttl_seconds": 0},
    "less than a second": {"ttl_seconds": 0.5},
    "infinite time": {"ttl_seconds": float("inf")},
    "a time that is no number": {"ttl_seconds": "300"},
    "a malformed thumbprint": {"jkt": "x"},
}


async def test_malformed_arguments_are_refused(single):
    manager, _ = pair(single)
    session_id = await manager.allocate_session("mine")
    for problem, options in BAD.items():
        with pytest.raises(ValueError, match=r"must|belongs"):
            pytest.fail(f"{problem}: {await manager.grant_session(session_id, **{'to': 'other', **options})}")
    assert await manager.list_grants(session_id) == []


async def test_needs_a_federation_with_keys(single):
    session_id = await single.manager().allocate_session()
    for manager in (single.manager(), pair(single)[1]):
        with pytest.raises(ValueError, match="federation"):
            await manager.grant_session(session_id, to="other")
    with pytest.raises(ValueError, match="federation"):
        await single.manager().resolve_grant("x", "y")


async def test_takes_grid_paths_by_id_and_by_reference(single):
    manager, _ = pair(single)
    session_id = await manager.allocate_session()
    for by_reference in (True, False):
        path = manager.generate_artifact_key(session_id, "doc1", "page", by_reference=by_reference)
        assert claims_of(await manager.grant_session(session_id, to="other", path=path))["path"] == "doc1/page"
        prefix = manager.get_canonical_prefix(session_id, by_reference=by_reference)
        assert claims_of(await manager.grant_session(session_id, to="other", path=prefix))["path"] == ""


async def test_a_session_has_64_grants_at_most(single):
    manager, other = pair(single)
    session_id = await manager.allocate_session()
    short = [await manager.grant_session(session_id, to="other", ttl_seconds=60) for _ in range(4)]
    tokens = [await manager.grant_session(session_id, to="other") for _ in range(60)]
    with pytest.raises(GrantLimitError):
        await manager.grant_session(session_id, to="other")
    await single.advance(seconds=60)
    tokens += [await manager.grant_session(session_id, to="other") for _ in range(4)]
    assert all([await other.resolve_grant(token, "x") for token in tokens])
    assert not any([await other.resolve_grant(token, "x") for token in short])
    assert sum(name.startswith(b"g:") for name in await fields_of(single, session_id)) == 64, "expired ones are removed"


async def test_expired_grants_are_removed_with_the_next_one(single):
    manager, _ = pair(single)
    session_id = await manager.allocate_session()
    await manager.grant_session(session_id, to="other", ttl_seconds=60, path="x" * 500)
    await single.advance(seconds=60)
    token = await manager.grant_session(session_id, to="other")
    fields = await fields_of(single, session_id)
    assert [name for name in fields if name.startswith(b"g:")] == [f"g:{claims_of(token)['jti']}".encode()]


async def test_grants_count_for_the_size_of_the_session(single):
    manager, _ = pair(single, max_session_bytes=600)
    session_id = await manager.allocate_session(custom_metadata={"a": "x" * 300})
    token = await manager.grant_session(session_id, to="other", path="y" * 180)
    with pytest.raises(SessionTooLargeError):
        await manager.grant_session(session_id, to="other", path="y" * 180)
    with pytest.raises(SessionTooLargeError):
        await manager.update_session_metadata(session_id, {"b": "x" * 100})
    assert await manager.revoke_grant(token)
    assert await manager.update_session_metadata(session_id, {"b": "x" * 100})


async def test_an_old_id_in_its_grace_period_gives_grants_that_last(single):
    """The grant is named after the record that has it, so it does not need the pointer."""
    manager, other = pair(single)
    old = await manager.allocate_session()
    new = await manager.rotate_session(old, grace_seconds=60)
    token = await manager.grant_session(old, to="other")
    assert claims_of(token)["sub"] == session_hash(new)
    await single.advance(seconds=100)
    assert await other.resolve_grant(token, "x")


async def test_an_old_id_gives_no_grants_after_its_grace_period(single):
    manager, other = pair(single)
    old = await manager.allocate_session()
    token = await manager.grant_session(old, to="other")
    await manager.rotate_session(old, grace_seconds=60)
    await single.advance(seconds=60)
    assert await other.resolve_grant(token, "x")
    assert await manager.grant_session(old, to="other") is None
    assert await manager.list_grants(old) == []
    assert await manager.revoke_grants(old) == 0


def stored(target, **changes):
    """Return the call that stores one grant of a session."""
    options = {"jti": f"{target.reference}{'A' * 16}", "ttl_ms": 300_000, "operation_id": b"once", "limit": 10_000}
    return grants.grant(target, **{"audience": "other", "actions": ["read"], "path": "", **options, **changes})


async def test_a_repeated_attempt_changes_nothing(single):
    manager, _ = pair(single)
    session_id = await manager.allocate_session()
    target = keys.session_keys("test", session_id)
    first = await single.backend.run(stored(target))
    before = await fields_of(single, session_id)
    await single.advance(ms=1500)
    again = await single.backend.run(stored(target))
    assert again == [s.OK, first[1], single.clock.now_ms()]
    assert await fields_of(single, session_id) == before


async def test_an_attempt_that_arrives_after_the_revocation_stores_nothing(single):
    manager, _ = pair(single)
    session_id = await manager.allocate_session()
    target = keys.session_keys("test", session_id)
    await single.backend.run(stored(target))
    assert await manager.revoke_grants(session_id) == 1
    assert await single.backend.run(stored(target)) == [s.GONE]
    assert await manager.list_grants(session_id) == []


async def test_concurrent_grants_have_different_ids_and_all_count(single):
    manager, other = pair(single)
    session_id = await manager.allocate_session()
    tokens = await asyncio.gather(*(manager.grant_session(session_id, to="other") for _ in range(30)))
    assert len({claims_of(token)["jti"] for token in tokens}) == 30
    assert all(await asyncio.gather(*(other.resolve_grant(token, "x") for token in tokens)))
    assert len(await manager.list_grants(session_id)) == 30


async def test_grants_and_deletion_at_the_same_time_leave_nothing(world):
    manager, other = pair(world)
    for _ in range(10):
        session_id = await manager.allocate_session()
        *tokens, deleted = await asyncio.gather(
            *(manager.grant_session(session_id, to="other") for _ in range(5)), manager.delete_session(session_id)
        )
        assert deleted
        assert not any([await other.resolve_grant(token, "x") for token in tokens if token])
        assert await manager.grant_session(session_id, to="other") is None


async def test_a_damaged_bound_or_time_of_the_last_grant_does_no_harm(world):
    manager, other = pair(world)
    session_id = await manager.allocate_session()
    target = keys.session_keys("test", session_id)
    await world.backend.run(data_operations.merge(target, pairs=[b"p", b"x", b"z", b"y"]))
    token = await manager.grant_session(session_id, to="other")
    assert await other.resolve_grant(token, "x")
    assert await other.resolve_grant(token, "x") == await other.resolve_grant(token, "x/y")


async def test_the_latest_expiry_is_shown(single):
    manager, other = pair(single)
    session_id = await manager.allocate_session(ttl_hours=2)
    token = await manager.grant_session(session_id, to="other", ttl_seconds=3600)
    expiry = 1000 * claims_of(token)["exp"]
    assert (await other.resolve_grant(token, "x")).expires_at == iso_from_ms(expiry)
    await manager.set_session_ttl(session_id, 0.25)
    sooner = (await manager.get_session_metadata(session_id)).expires_at
    assert (await other.resolve_grant(token, "x")).expires_at == sooner


def test_ids_of_grants_lead_to_the_record():
    target = keys.session_keys("test", "mine")
    jti = grants.new_jti(target)
    assert grants.parse_jti(jti) == ids.locate("mine")
    assert len(jti) == 40
    malformed = (None, "", jti[:-1], jti + "A", "zz" + jti[2:], jti[:23] + "!" * 17)
    assert {grants.parse_jti(text) for text in malformed} == {None}
