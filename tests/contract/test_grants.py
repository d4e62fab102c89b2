"""grants: list the grants of a session."""

from __future__ import annotations

from chuk_sessions.models import iso_from_ms
from tests.harness.federated import pair


async def test_lists_the_grants_that_count_by_expiry(single):
    manager, _ = pair(single)
    session_id = await manager.allocate_session(custom_metadata={"g": 1})
    now = single.clock.now_ms() // 1000 * 1000
    await manager.grant_session(session_id, to="other", ttl_seconds=200, path="a b/é,c", actions=["read", "write"])
    await manager.grant_session(session_id, to="third", ttl_seconds=100)
    await manager.grant_session(session_id, to="short", ttl_seconds=50)
    await single.advance(seconds=50)
    found = await manager.list_grants(session_id)
    assert [(grant.audience, grant.path, grant.actions) for grant in found] == [
        ("third", "", ("read",)), ("other", "a b/é,c", ("read", "write")),
    ]  # fmt: skip
    assert [grant.expires_at for grant in found] == [iso_from_ms(now + 100_000), iso_from_ms(now + 200_000)]
    assert len({grant.jti for grant in found}) == 2


async def test_a_session_that_does_not_exist_has_none(single):
    manager = single.manager()
    for session_id in ("sess-1700000000-00" + "0" * 32, "mine", "../x", "", None):
        assert await manager.list_grants(session_id) == []


async def test_a_manager_without_a_federation_lists_and_revokes(single):
    manager, other = pair(single)
    session_id = await manager.allocate_session()
    token = await manager.grant_session(session_id, to="other")
    plain = single.manager()
    (listed,) = await plain.list_grants(session_id)
    assert await plain.revoke_grant(listed.jti)
    assert await other.resolve_grant(token, "x") is None


async def test_an_old_id_lists_them_in_its_grace_period(single):
    manager, _ = pair(single)
    old = await manager.allocate_session()
    await manager.grant_session(old, to="other")
    new = await manager.rotate_session(old, grace_seconds=30)
    assert await manager.list_grants(old) == await manager.list_grants(new) != []
    await single.advance(seconds=30)
    assert await manager.list_grants(old) == []
    assert len(await manager.list_grants(new)) == 1
