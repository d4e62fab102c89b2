"""Replies that get lost after execution: no operation is applied more often than it may be."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import pytest

from chuk_sessions import ABSENT, SessionManager, session_hash
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.core import event_entries, ids, keys, statuses
from chuk_sessions.exceptions import (
    OutcomeUnknownError,
    SessionExistsError,
    SessionTimeoutError,
    SessionUnavailableError,
)
from chuk_sessions.providers.factory import Factory
from chuk_sessions.providers.redis import RedisSession
from tests.harness.farms import Proxy
from tests.harness.federated import GIVING, RESOLVING
from tests.harness.references import listed, references
from tests.harness.servers import Server
from tests.redis.tools import backend_on, load_scripts, manager_on

TIMES = 3
HOUR = 3600.0


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    load_scripts(server)
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
async def backend(proxy: Proxy) -> AsyncIterator[RedisBackend]:
    async with backend_on(f"redis://127.0.0.1:{proxy.port}") as backend:
        yield backend


@pytest.fixture
async def session(backend: RedisBackend) -> tuple[SessionManager, str]:
    manager = manager_on(backend)
    return manager, await manager.allocate_session(user_id="ann")


def lose(proxy: Proxy, backend: RedisBackend, operation: str) -> None:
    proxy.lose_replies(TIMES, backend._scripts[operation].sha)


async def test_extend_is_applied_once(proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]):
    manager, session_id = session
    before = await manager.get_session_info(session_id)
    lose(proxy, backend, "extend")
    assert await manager.extend_session_ttl(session_id, 2.0)
    after = await manager.get_session_info(session_id)
    assert before is not None
    assert after is not None
    assert seconds_between(before, after) == pytest.approx(2 * HOUR, abs=0.01)
    assert proxy.losses.met == TIMES
    assert backend.stats().retries >= TIMES
    assert backend.stats().reconnects == TIMES


def seconds_between(before: dict[str, object], after: dict[str, object]) -> float:
    first, last = (datetime.fromisoformat(str(info["expires_at"]).replace("Z", "+00:00")) for info in (before, after))
    return (last - first).total_seconds()


async def test_increment_raises_outcome_unknown(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, session_id = session
    lose(proxy, backend, "increment")
    with pytest.raises(OutcomeUnknownError):
        await manager.increment_session_counter(session_id, "n")
    proxy.lose_replies(0)
    assert await manager.increment_session_counter(session_id, "n") == (True, 2)


async def test_increment_with_a_key_counts_once(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, session_id = session
    lose(proxy, backend, "increment")
    assert await manager.increment_session_counter(session_id, "n", 5, idempotency_key="order 7") == (True, 5)
    assert await manager.increment_session_counter(session_id, "n", 0) == (True, 5)


async def test_set_raises_outcome_unknown_and_merge_with_a_key_is_retried(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, session_id = session
    lose(proxy, backend, "set")
    with pytest.raises(OutcomeUnknownError):
        await manager.update_session_metadata(session_id, {"a": 1})
    proxy.lose_replies(0)
    assert await manager.update_session_metadata(session_id, {"b": 2}, idempotency_key="b")
    lose(proxy, backend, "merge")
    assert await manager.update_session_metadata(session_id, {"c": 3}, idempotency_key="c")


async def test_append_raises_outcome_unknown_and_with_a_key_it_is_applied_once(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, session_id = session
    lose(proxy, backend, "append")
    with pytest.raises(OutcomeUnknownError):
        await manager.append_session_metadata(session_id, "log", 1)
    lose(proxy, backend, "append")
    assert await manager.append_session_metadata(session_id, "log", 2, idempotency_key="two") == len("[1,2]")
    assert proxy.losses.met == TIMES


@pytest.mark.parametrize("idempotency_key", [None, "once"])
async def test_a_transform_is_applied_once(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str], idempotency_key: str | None
):
    manager, session_id = session
    lose(proxy, backend, "merge")
    for _ in range(2 if idempotency_key else 1):
        result = await manager.transform_session_metadata(
            session_id, "log", lambda log: [*log, 1], [], idempotency_key=idempotency_key
        )
        assert result is not None
        assert result.value == [1]
    assert proxy.losses.met == TIMES
    lose(proxy, backend, "read")
    assert await manager.transform_session_metadata(session_id, "log", lambda log: [*log, 2]) == ([1, 2], 1)


async def test_a_transform_that_arrives_late_changes_nothing(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, session_id = session
    proxy.hold(backend._scripts["merge"].sha)
    assert await manager.transform_session_metadata(session_id, "on", lambda on: not on, False) == (True, 1)
    assert await manager.transform_session_metadata(session_id, "on", lambda on: not on, False) == (False, 1)
    assert proxy.release() == b":%d\r\n" % statuses.APPLIED
    info = await manager.get_session_info(session_id)
    assert info is not None
    assert info["custom_metadata"] == {"on": False}


async def test_an_update_with_expected_values_and_a_key_is_applied_once_and_moves_the_deadline(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, session_id = session
    before = await manager.get_session_info(session_id)
    lose(proxy, backend, "merge")
    with pytest.raises(OutcomeUnknownError):
        await manager.update_session_metadata(session_id, {"a": 1}, expected={"a": ABSENT}, ttl_seconds=10)
    lose(proxy, backend, "merge")
    assert await manager.update_session_metadata(
        session_id, {"a": 2}, expected={"a": 1}, ttl_seconds=2 * HOUR, idempotency_key="a"
    )
    after = await manager.get_session_info(session_id)
    assert before is not None
    assert after is not None
    assert seconds_between(before, after) == pytest.approx(-22 * HOUR, abs=30)


async def test_rate_limit_raises_outcome_unknown(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, session_id = session
    lose(proxy, backend, "rate_limit")
    with pytest.raises(OutcomeUnknownError):
        await manager.rate_limit_session(session_id, "x", 3, HOUR)
    proxy.lose_replies(0)
    again = await manager.rate_limit_session(session_id, "x", 3, HOUR)
    assert again is not None
    assert (again.allowed, again.remaining) == (True, 1)


async def test_rate_limit_with_a_key_counts_once(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, session_id = session
    lose(proxy, backend, "rate_limit")
    counted = await manager.rate_limit_session(session_id, "x", 3, HOUR, cost=2, idempotency_key="request 7")
    assert counted is not None
    assert (counted.allowed, counted.remaining) == (True, 1)
    assert proxy.losses.met == TIMES


async def test_set_ttl_is_retried(proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]):
    manager, session_id = session
    lose(proxy, backend, "set_ttl")
    assert await manager.set_session_ttl(session_id, 2)
    info = await manager.get_session_info(session_id)
    assert info is not None
    left = datetime.fromisoformat(info["expires_at"]).timestamp() - time.time()
    assert left == pytest.approx(2 * HOUR, abs=60)
    assert proxy.losses.met == TIMES


async def test_a_login_again_whose_reply_is_lost_is_retried(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, old = session
    lose(proxy, backend, "rotate")
    new = await manager.rotate_session(old, user_id="ann")
    assert await manager.list_sessions() == references([new])
    assert proxy.losses.met == TIMES


async def test_validate_load_and_read_are_retried(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, session_id = session
    lose(proxy, backend, "load")
    assert await manager.load_session(session_id)
    assert proxy.losses.met == TIMES
    lose(proxy, backend, "validate")
    assert await manager.validate_session(session_id)
    lose(proxy, backend, "read")
    assert await manager.get_session_info(session_id)
    assert proxy.losses.met == TIMES


async def test_a_retried_delete_reports_that_it_deleted(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, session_id = session
    lose(proxy, backend, "delete")
    assert await manager.delete_session(session_id)
    assert not await manager.delete_session(session_id)


async def test_a_delete_that_arrives_late_does_not_delete_a_new_session_with_the_same_id(
    proxy: Proxy, backend: RedisBackend
):
    manager = manager_on(backend)
    await manager.allocate_session("mine")
    proxy.hold(backend._scripts["delete"].sha)
    assert await manager.delete_session("mine")
    await manager.allocate_session("mine")
    assert proxy.release() == b":0\r\n", "the late delete finds another session"
    assert await manager.validate_session("mine")


@pytest.mark.parametrize("grace_seconds", [0, 60])
async def test_a_lost_deletion_in_a_move_keeps_the_new_session(
    proxy: Proxy, backend: RedisBackend, grace_seconds: float
):
    manager = manager_on(backend, max_sessions_per_user=3)
    old = await manager.allocate_session("mine", user_id="ann" if grace_seconds else None)
    proxy.lose_replies(1, backend._scripts["delete"].sha)
    with pytest.raises(OutcomeUnknownError) as caught:
        await manager.rotate_session(old, user_id=None if grace_seconds else "ann", grace_seconds=grace_seconds)
    assert await manager.list_sessions() == references([caught.value.session_id])
    assert await manager.count_sessions("ann") == 1


async def test_a_deletion_in_a_login_that_was_not_applied_is_repeated(proxy: Proxy, backend: RedisBackend):
    manager = manager_on(backend)
    guest = await manager.allocate_session()
    proxy.hold(backend._scripts["delete"].sha)
    session_id = await manager.rotate_session(guest, user_id="ann")
    assert await manager.list_sessions() == references([session_id])
    assert proxy.release() == b":0\r\n", "the late deletion finds no session"


async def test_a_rotation_that_arrives_late_does_not_rotate_a_new_session_with_the_same_id(
    proxy: Proxy, backend: RedisBackend
):
    manager = manager_on(backend)
    await manager.allocate_session("mine")
    proxy.hold(backend._scripts["rotate"].sha)
    newer = await manager.rotate_session("mine")
    assert newer is not None
    assert await manager.delete_session(newer)
    await manager.allocate_session("mine")
    assert proxy.release() == b":0\r\n", "the late rotation finds another session"
    assert await manager.list_sessions() == references(["mine"])


async def test_allocate_creates_one_session(proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]):
    manager, _ = session
    lose(proxy, backend, "allocate")
    await manager.allocate_session(user_id="ann")
    assert await manager.count_sessions("ann") == 2


@pytest.mark.parametrize("when_full", ["refuse", "evict"])
async def test_a_lost_attempt_does_not_count_against_the_limit(proxy: Proxy, backend: RedisBackend, when_full: str):
    manager = manager_on(backend, max_sessions_per_user=2, when_full=when_full)
    first = await manager.allocate_session(user_id="ann")
    lose(proxy, backend, "allocate")
    second = await manager.allocate_session(user_id="ann")
    assert proxy.losses.met == TIMES
    assert set(await listed(manager, "ann")) == set(references([first, second]))


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("login", [False, True])
async def test_an_attempt_that_arrives_late_does_not_revive_a_deleted_session(
    proxy: Proxy, backend: RedisBackend, limit: int | None, login: bool
):
    manager = manager_on(backend, max_sessions_per_user=limit)
    guest = await manager.allocate_session()
    proxy.hold(backend._scripts["allocate"].sha)
    call = manager.rotate_session(guest, user_id="ann") if login else manager.allocate_session(user_id="ann")
    session_id = await call
    assert session_id is not None
    assert await manager.validate_session(session_id)
    assert await manager.delete_session(session_id)
    assert proxy.release().startswith(b":2\r\n"), "the late attempt creates a session"
    assert not await manager.validate_session(session_id)
    [ghost] = await manager.list_user_sessions("ann")
    newest = await manager.allocate_session(user_id="ann")
    remaining = set(await listed(manager, "ann"))
    assert remaining == {session_hash(newest)} | (set() if limit else {ghost.reference})
    assert await manager.revoke_user_sessions("ann") == len(remaining)
    assert ghost.reference not in await manager.list_sessions()


async def test_a_chosen_id_is_kept_however_many_replies_get_lost(
    proxy: Proxy, backend: RedisBackend, session: tuple[SessionManager, str]
):
    manager, _ = session
    lose(proxy, backend, "allocate")
    assert await manager.allocate_session("mine", user_id="ann") == "mine"
    assert proxy.losses.met == TIMES
    assert await manager.count_sessions("ann") == 2


@pytest.mark.parametrize("mode", ["create", "replace"])
async def test_a_chosen_id_is_created_once_however_many_replies_get_lost(
    proxy: Proxy, backend: RedisBackend, mode: str
):
    manager = manager_on(backend)
    lose(proxy, backend, "allocate")
    assert await manager.allocate_session("mine", user_id="ann", mode=mode) == "mine"
    assert proxy.losses.met == TIMES
    info = await manager.get_session_metadata("mine")
    assert info is not None
    assert info.version == 1
    with pytest.raises(SessionExistsError):
        await manager.allocate_session("mine", mode="create")


async def test_a_replacement_is_applied_once_however_many_replies_get_lost(proxy: Proxy, backend: RedisBackend):
    manager = manager_on(backend)
    await manager.allocate_session("mine", user_id="ann")
    lose(proxy, backend, "allocate")
    await manager.allocate_session("mine", user_id="bob", mode="replace")
    assert proxy.losses.met == TIMES
    info = await manager.get_session_metadata("mine")
    assert info is not None
    assert (info.user_id, info.version) == ("bob", 2)


async def test_a_replacement_that_arrives_late_does_not_undo_a_later_one(proxy: Proxy, backend: RedisBackend):
    manager = manager_on(backend)
    await manager.allocate_session("mine")
    proxy.hold(backend._scripts["allocate"].sha)
    await manager.allocate_session("mine", custom_metadata={"n": 1}, mode="replace")
    await manager.allocate_session("mine", custom_metadata={"n": 2}, mode="replace")
    assert proxy.release() == b":2\r\n", "the late attempt finds its work done"
    info = await manager.get_session_metadata("mine")
    assert info is not None
    assert (info.custom_metadata, info.version) == ({"n": 2}, 3)


@pytest.mark.parametrize("mode", ["create", "replace"])
async def test_a_creation_that_arrives_late_does_not_revive_a_deleted_session(
    proxy: Proxy, backend: RedisBackend, mode: str
):
    manager = manager_on(backend)
    await manager.allocate_session()
    proxy.hold(backend._scripts["allocate"].sha)
    await manager.allocate_session("mine", user_id="ann", mode=mode)
    assert await manager.delete_session("mine")
    assert proxy.release() == b":2\r\n", "the late attempt finds its work done"
    assert not await manager.validate_session("mine")
    assert await manager.count_sessions("ann") == 0


@pytest.mark.parametrize("mode", ["create", "replace"])
async def test_a_lost_reply_is_an_error_when_replicas_have_to_acknowledge(proxy: Proxy, server: Server, mode: str):
    async with backend_on(f"redis://127.0.0.1:{proxy.port}", wait_replicas=1) as backend:
        proxy.lose_replies(1, backend._scripts["allocate"].sha)
        with pytest.raises(OutcomeUnknownError) as caught:
            await manager_on(backend).allocate_session("mine", mode=mode)
        assert caught.value.session_id is None


@pytest.mark.quiet
@pytest.mark.parametrize("cut", [False, True])
async def test_all_attempts_of_an_allocation_have_one_deadline(proxy: Proxy, cut: bool):
    async with backend_on(f"redis://127.0.0.1:{proxy.port}", call_timeout=0.5, retries=1000) as backend:
        manager = manager_on(backend)
        await manager.allocate_session()
        losses = proxy.lose_replies(1000, backend._scripts["allocate"].sha, cut=cut)
        begun = time.monotonic()
        with pytest.raises(SessionTimeoutError):
            await manager.allocate_session()
        assert time.monotonic() - begun < 0.9
        assert (losses.left < 999) is cut


async def test_a_silent_connection_is_closed_at_the_deadline_of_its_oldest_call(proxy: Proxy, server: Server):
    async with backend_on(f"redis://127.0.0.1:{proxy.port}", call_timeout=0.3) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        proxy.lose_replies(1, backend._scripts["validate"].sha, cut=False)
        with pytest.raises(SessionTimeoutError):
            await manager.validate_session(session_id)
        assert await manager.validate_session(session_id)
        proxy.lose_replies(1, backend._scripts["increment"].sha, cut=False)
        with pytest.raises(OutcomeUnknownError):
            await manager.increment_session_counter(session_id, "n")
        assert await manager.increment_session_counter(session_id, "n") == (True, 2)


async def test_retries_are_limited(proxy: Proxy, server: Server):
    async with backend_on(f"redis://127.0.0.1:{proxy.port}", retries=2) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        losses = proxy.lose_replies(100, backend._scripts["validate"].sha)
        with pytest.raises(SessionUnavailableError):
            await manager.validate_session(session_id)
        assert losses.met == 3


RETRIES_END = {
    "extend": ("extend", lambda manager, one: manager.extend_session_ttl(one, 2)),
    "transform": (
        "merge",
        lambda manager, one: manager.transform_session_metadata(one, "log", lambda log: [*log, 1], []),
    ),
    "create": ("allocate", lambda manager, _: manager.allocate_session("mine", mode="create")),
    "rotate": ("rotate", lambda manager, one: manager.rotate_session(one)),
    "log in again": ("rotate", lambda manager, one: manager.rotate_session(one, user_id="ann")),
}


@pytest.mark.parametrize("name", RETRIES_END)
async def test_a_change_that_cannot_be_repeated_has_an_unknown_outcome_when_all_replies_get_lost(
    proxy: Proxy, name: str
):
    operation, change = RETRIES_END[name]
    async with backend_on(f"redis://127.0.0.1:{proxy.port}", retries=2) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session(user_id="ann")
        losses = proxy.lose_replies(100, backend._scripts[operation].sha)
        with pytest.raises(OutcomeUnknownError) as caught:
            await change(manager, session_id)
        assert losses.met == 3
        proxy.lose_replies(0)
        assert await manager.validate_session(caught.value.session_id or session_id)


async def test_a_change_with_a_key_can_be_repeated_after_all_replies_got_lost(proxy: Proxy):
    async with backend_on(f"redis://127.0.0.1:{proxy.port}", retries=2) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        proxy.lose_replies(3, backend._scripts["merge"].sha)

        async def add() -> object:
            return await manager.transform_session_metadata(
                session_id, "log", lambda log: [*log, 1], [], idempotency_key="once"
            )

        with pytest.raises(SessionUnavailableError):
            await add()
        assert await add() == ([1], 0)


async def test_a_login_deletes_the_copy_whose_replies_all_got_lost(proxy: Proxy):
    async with backend_on(f"redis://127.0.0.1:{proxy.port}", retries=2) as backend:
        manager = manager_on(backend)
        guest = await manager.allocate_session()
        proxy.lose_replies(3, backend._scripts["allocate"].sha)
        with pytest.raises(SessionUnavailableError):
            await manager.rotate_session(guest, user_id="ann")
        assert await manager.list_sessions() == references([guest])


async def test_grants_are_stored_and_revoked_once(proxy: Proxy, backend: RedisBackend):
    manager = manager_on(backend, **GIVING)
    other = SessionManager("other", Factory(backend, lambda: RedisSession(backend, 3600)), **RESOLVING)
    session_id = await manager.allocate_session()
    lose(proxy, backend, "grant")
    token = await manager.grant_session(session_id, to="other")
    assert token is not None
    assert proxy.losses.met == TIMES
    assert len(await manager.list_grants(session_id)) == 1
    lose(proxy, backend, "check_grant")
    assert await other.resolve_grant(token, "x")
    lose(proxy, backend, "revoke_grant")
    assert await manager.revoke_grant(token), "a retry finds no grant, because an earlier attempt was applied"
    assert await other.resolve_grant(token, "x") is None
    tokens = [await manager.grant_session(session_id, to="other") for _ in range(2)]
    lose(proxy, backend, "revoke_grant")
    assert await manager.revoke_grants(session_id) == 0, "those of the lost attempt do not count"
    assert [await other.resolve_grant(str(token), "x") for token in tokens] == [None, None]


async def test_calls_of_the_provider_api_are_retried(proxy: Proxy, backend: RedisBackend):
    session = RedisSession(backend, 60)
    await session.set("k", "v")
    proxy.lose_replies(TIMES, b"GET")
    assert await session.get("k") == "v"
    proxy.lose_replies(TIMES, b"DEL")
    assert await session.delete("k")
    await session.set("k", "v")
    proxy.lose_replies(TIMES, b"GETDEL")
    with pytest.raises(OutcomeUnknownError):
        await session.getdel("k")
    proxy.lose_replies(0)
    assert await session.get("k") is None


async def test_a_call_that_was_never_sent_has_a_known_outcome(proxy: Proxy, backend: RedisBackend):
    manager = manager_on(backend)
    session_id = await manager.allocate_session()
    proxy.cut()
    assert await manager.increment_session_counter(session_id, "n", idempotency_key="once") == (True, 1)
    proxy.refusing = True
    proxy.cut()
    async with backend_on(f"redis://127.0.0.1:{proxy.port}", retries=1, call_timeout=1.0) as other:
        with pytest.raises(SessionUnavailableError) as caught:
            await manager_on(other).increment_session_counter(session_id, "n")
    assert not isinstance(caught.value, OutcomeUnknownError)


async def told(server: Server, *session_ids: str | None) -> list[str]:
    """Return kind and reason of the events of sessions, in order of the sessions; of any other ids, after them."""
    order = {session_hash(str(session_id)): number for number, session_id in enumerate(session_ids)}
    found: list[tuple[int, str]] = []
    with server.client() as client:
        for bucket in range(ids.BUCKETS):
            entries = client.eval("return redis.call('XRANGE', KEYS[1], '-', '+')", 1, keys.events(bucket))
            for entry in (event_entries.parse(*entry) for entry in entries):
                words = [entry.kind] if entry.reason is None else [entry.kind, entry.reason]
                found.append((order.get(entry.session_hash(bucket), len(order)), " ".join(words)))
    return [text for _, text in sorted(found, key=lambda event: event[0])]


EMITTING = {
    "extend": (lambda manager, session_id: manager.extend_session_ttl(session_id, 1.0), ["extended"]),
    "delete": (lambda manager, session_id: manager.delete_session(session_id), ["ended deleted"]),
    "rotate": (lambda manager, session_id: manager.rotate_session(session_id), ["rotated"]),
    "merge": (
        lambda manager, session_id: manager.update_session_metadata(session_id, {"a": 1}, idempotency_key="k"),
        ["updated"],
    ),
    "increment": (
        lambda manager, session_id: manager.increment_session_counter(session_id, "n", idempotency_key="k"),
        ["updated"],
    ),
}


@pytest.mark.parametrize("operation", EMITTING)
async def test_a_retry_tells_no_event_twice(server: Server, proxy: Proxy, backend: RedisBackend, operation: str):
    server.empty()
    manager = manager_on(backend, events="updates")
    session_id = await manager.allocate_session(user_id="ann")
    lose(proxy, backend, operation)
    call, events = EMITTING[operation]
    assert await call(manager, session_id)
    assert await told(server, session_id) == ["created", *events]


async def test_a_creation_whose_reply_was_lost_is_told_as_aborted(server: Server, proxy: Proxy, backend: RedisBackend):
    server.empty()
    lose(proxy, backend, "allocate")
    session_id = await manager_on(backend, events=True).allocate_session(user_id="ann")
    found = await told(server, session_id)
    assert found[0] == "created"
    assert sorted(found[1:]) == ["created"] * TIMES + ["ended aborted"] * TIMES


async def test_a_login_whose_replies_were_lost_is_told_once(server: Server, proxy: Proxy, backend: RedisBackend):
    server.empty()
    manager = manager_on(backend, events=True)
    for user, operation in (("ann", "rotate"), (None, "carry")):
        old = await manager.allocate_session(user_id=user)
        lose(proxy, backend, operation)
        new = await manager.rotate_session(old, user_id="ann")
        assert (await told(server, old, new))[:3] == ["created", "ended replaced", "logged_in"]
