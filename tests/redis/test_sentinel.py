"""Sentinel: the primary is found, and found again."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import redis
import uvloop

from chuk_sessions import NotSupportedError, SessionUnavailableError
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.backends.redis.topology.slots import SLOTS
from chuk_sessions.core import ids, keys
from tests.conftest import bundled
from tests.faults.inject.server import BUSY_AFTER_MS, BUSY_LOOP, BUSY_SETTING
from tests.harness.farms import Member, SentinelFarm, add_sentinel, one_node, one_sentinel_over, sentinel_farm, wait_for
from tests.harness.servers import running
from tests.redis.tools import backend_on, manager_at, manager_on, retries_of, slot_of_session, until
from tests.redis.topology_load import load_on

SENTINELS_LATEST = 15.0
PATROLS_LATEST = 3.0


@pytest.fixture
def farm(farms) -> SentinelFarm:
    """One that is left whole."""
    farm = farms["sentinel"]
    farm.empty()
    assert isinstance(farm, SentinelFarm)
    return farm


async def test_writes_go_on_by_themselves_when_the_primary_is_killed(capsys):
    with sentinel_farm(bundled()) as farm:
        async with (
            manager_at(farm.url, call_timeout=SENTINELS_LATEST) as manager,
            load_on(manager, keyed=True, churn_tasks=0) as load,
        ):
            await asyncio.sleep(0.3)
            killed = farm.primary()
            killed.server.kill()
            at = time.monotonic()
            needed = await asyncio.to_thread(_wait_for_another, farm, killed)
            await asyncio.to_thread(wait_for, lambda: min(load.done.values()) > at, "all sessions written to again")
            took = max(load.done.values()) - at
        lost = -sum((await load.differences(farm.url)).values())
    with capsys.disabled():
        print(f"\nSentinels: {needed:.2f} s to a new primary; sessions written to again by {took:.2f} s;", end=" ")
        print(f"{load.counted.total()} writes acknowledged, {lost} of them not replicated when the primary died")
    assert not load.errors
    assert load.worst(load.session_ids) < needed + 1.0


def _named_by_none(farm: SentinelFarm, member: Member) -> bool:
    return all(farm.named(sentinel) is not member for sentinel in farm.sentinels)


def _wait_for_another(farm: SentinelFarm, old: Member) -> float:
    return wait_for(lambda: farm.primary() is not old, "another primary", SENTINELS_LATEST)


async def test_a_demoted_primary_is_not_read_from():
    with sentinel_farm(bundled()) as farm:
        async with manager_at(farm.url, call_timeout=SENTINELS_LATEST) as manager:
            session_id = await manager.allocate_session(custom_metadata={"n": 1})
            old = farm.primary()
            farm.sentinels[0].command("SENTINEL", "FAILOVER", "mymaster")
            await asyncio.to_thread(_wait_for_another, farm, old)
            # What sentinels send to a former primary, some seconds later. This one follows nobody, so it stays behind.
            old.command("REPLICAOF", "127.0.0.1", 1)
            old.command("CLIENT", "KILL", "TYPE", "normal")
            for n in range(2, 50):
                assert await manager.update_session_metadata(session_id, {"n": n}, idempotency_key=str(n))
                found = await manager.get_session_metadata(session_id)
                assert found is not None
                assert found.custom_metadata == {"n": n}


async def test_a_primary_that_turns_read_only_is_left(caplog):
    with sentinel_farm(bundled()) as farm:
        async with manager_at(farm.url, call_timeout=SENTINELS_LATEST) as manager:
            session_id = await manager.allocate_session(custom_metadata={"n": 1})
            old = farm.primary()
            farm.sentinels[0].command("SENTINEL", "FAILOVER", "mymaster")
            await asyncio.to_thread(_wait_for_another, farm, old)
            old.command("REPLICAOF", "127.0.0.1", 1)
            assert await manager.update_session_metadata(session_id, {"n": 2}), "READONLY first, then the new primary"
            assert farm.primary().command("HGET", keys.session_keys("test", session_id).record, "m:n") == b"2"
    told = [one.getMessage().partition(":")[0] for one in caplog.records if one.levelname == "WARNING"]
    assert told.count("failover") == 1
    assert told.count("primary demoted") <= 1, "the sentinels may have been asked before the write"


async def test_a_primary_that_stood_still_while_it_was_replaced_is_not_taken_for_one():
    with sentinel_farm(bundled()) as farm:
        old = farm.primary()
        old.server.signal(signal.SIGSTOP)
        async with manager_at(farm.url, call_timeout=SENTINELS_LATEST) as manager:
            allocation = asyncio.create_task(manager.allocate_session())
            await asyncio.to_thread(wait_for, lambda: _named_by_none(farm, old), "another primary")
            old.server.signal(signal.SIGCONT)
            record = keys.session_keys("test", await allocation).record
            assert farm.named(farm.sentinels[0]).command("EXISTS", record)


@contextmanager
def split_farm() -> Iterator[tuple[SentinelFarm, str, Callable[[], None]]]:
    """A farm; who its clients log in as; and what cuts its primary off from sentinels and replicas, but not from those:
    they notice nothing.
    """
    with sentinel_farm(bundled()) as farm:
        for member in farm.members:
            member.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all")
        old = farm.primary()

        def split() -> None:
            old.command("CONFIG", "SET", "requirepass", "nobody knows it")
            old.command("CLIENT", "KILL", "USER", "default", "SKIPME", "yes")

        yield farm, "redis://app:secret@", split


def _has(member: Member, session_id: str) -> bool:
    return bool(member.command("EXISTS", keys.session_keys("test", session_id).record))


async def test_a_primary_that_only_its_clients_still_reach_is_left_for_its_successor():
    with split_farm() as (farm, login, split):
        old = farm.primary()
        async with manager_at(farm.url.replace("redis://", login)) as manager:
            assert _has(old, await manager.allocate_session())
            split()
            await asyncio.to_thread(wait_for, lambda: _named_by_none(farm, old), "another primary")
            begun = time.monotonic()
            while _has(old, await manager.allocate_session()):
                assert time.monotonic() - begun < PATROLS_LATEST
            assert old.info("replication")["role"] == "master", "nobody could tell it"
            assert _has(farm.primary(), await manager.allocate_session())
            assert "app" not in [one["user"] for one in old.client.client_list()]


async def test_of_two_sentinels_that_disagree_the_newer_is_believed():
    with split_farm() as (farm, login, split), ExitStack() as stack:
        old = farm.primary()
        split()
        await asyncio.to_thread(wait_for, lambda: _named_by_none(farm, old), "another primary")
        stale = add_sentinel(stack, bundled(), farm, 500)
        assert farm.named(stale) is old, "it never reaches it, and so learns nothing"
        url = f"{login}127.0.0.1:{stale.port},127.0.0.1:{farm.sentinels[0].port}/mymaster"
        for _ in range(8):
            async with manager_at(url) as manager:
                assert not _has(old, await manager.allocate_session())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_patrol_ends_with_its_loop(farm, run, caplog):
    backend = RedisBackend(farm.url)
    for _ in range(2):
        run(_patrolled(backend, farm))
    assert not caplog.records


async def test_a_patrol_ends_with_its_backend(farm, caplog):
    backend = RedisBackend(farm.url)
    await _patrolled(backend, farm)
    dropped = weakref.ref(backend)
    del backend
    await until(lambda: gc.collect() >= 0 and dropped() is None)
    assert not caplog.records


async def _patrolled(backend: RedisBackend, farm: SentinelFarm) -> None:
    """Return when the sentinels have been asked without need."""
    await backend.command("GET", "k")
    before = _questions_to(farm.sentinels[0])
    await until(lambda: _questions_to(farm.sentinels[0]) > before)


def _questions_to(sentinel: Member) -> int:
    """Return how many commands our connections have sent to a sentinel."""
    return sum(int(one["tot-cmds"]) for one in sentinel.client.client_list() if one["name"] == "chuk-sessions")


def _connections_to(sentinel: Member) -> int:
    return int(sentinel.info("stats")["total_connections_received"])


async def test_one_sentinel_of_three_that_names_a_dead_server_takes_no_healthy_primary_away(server):
    with running(bundled()) as other, ExitStack() as stack:
        there, gone = Member(server, server.port), Member(other, other.port)
        right = [stack.enter_context(one_sentinel_over(bundled(), there)).sentinels[0] for _ in range(2)]
        [behind] = stack.enter_context(one_sentinel_over(bundled(), gone)).sentinels
        url = f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in (*right, behind))}/mymaster"
        async with manager_at(url, call_timeout=1.0) as manager:
            session_id = await manager.allocate_session()
            other.kill()
            for sentinel in right:
                sentinel.server.kill()
            before = _questions_to(behind)
            while _questions_to(behind) < before + 6:
                assert await manager.validate_session(session_id)


async def test_passwords_of_sentinels_and_of_servers():
    with sentinel_farm(bundled(), password="of servers/+@", sentinel_password="of sentinels/+@") as farm:
        async with manager_at(farm.url) as manager:
            assert await manager.validate_session(await manager.allocate_session())
        await _is_refused(farm.url.replace("of%20sentinels", "guessed"))
        await _is_refused(farm.url.replace("of%20servers", "guessed"))


async def _is_refused(url: str) -> None:
    begun = time.monotonic()
    async with manager_at(url) as manager:
        for _ in range(2):
            with pytest.raises(SessionUnavailableError, match="password") as caught:
                await manager.allocate_session()
    assert "guessed" not in str(caught.value)
    assert time.monotonic() - begun < 2, "a wrong password does not get better by waiting"


async def test_tls_on_every_hop(certificates):
    with sentinel_farm(bundled(), certificates=certificates) as farm:
        async with manager_at(farm.url) as manager:
            assert await manager.validate_session(await manager.allocate_session())
        spoken = b"".join(chunk for member in farm.members for chunk in _proxy(member).plainly)
        assert b"REPLCONF" in spoken, "what the proxies hear without TLS is recorded"
        assert b"EVALSHA" not in spoken
        assert b"HELLO" not in spoken
        assert sum(_proxy(sentinel).connections for sentinel in farm.sentinels) >= 2
        assert not any(_proxy(sentinel).plainly for sentinel in farm.sentinels)
        async with manager_at(farm.url.partition("?")[0], call_timeout=0.5) as manager:
            with pytest.raises(SessionUnavailableError):
                await manager.allocate_session()


def _proxy(member: Member):
    assert member.proxy is not None
    return member.proxy


async def test_a_sentinel_that_is_down_is_done_without(farm):
    url = farm.url.replace("redis://", "redis://127.0.0.1:1,")
    async with manager_at(url) as manager:
        assert await manager.validate_session(await manager.allocate_session())


async def test_one_sentinel_is_enough_to_start_from(farm):
    async with manager_at(f"redis+sentinel://127.0.0.1:{farm.sentinels[1].port}/mymaster") as manager:
        assert await manager.validate_session(await manager.allocate_session())


async def test_a_name_that_no_sentinel_knows_is_named(farm):
    async with manager_at(farm.url.replace("mymaster", "nobody"), call_timeout=0.3) as manager:
        with pytest.raises(SessionUnavailableError):
            await manager.allocate_session()


async def test_an_idle_process_keeps_one_connection_to_each_sentinel(farm):
    async with manager_at(farm.url) as manager:
        await manager.allocate_session()
        await until(lambda: len(_clients(farm)) == 3)
        before = [_connections_to(sentinel) for sentinel in farm.sentinels]
        asked = _questions_to(farm.sentinels[0])
        await until(lambda: _questions_to(farm.sentinels[0]) >= asked + 6, 10.0)
        assert [_connections_to(sentinel) for sentinel in farm.sentinels] == before
        assert len(_clients(farm)) == 3
    await asyncio.to_thread(wait_for, lambda: not _clients(farm), "no connections of ours")


@pytest.mark.parametrize("hangs", [False, True], ids=["is killed", "hangs"])
async def test_a_sentinel_that_was_away_is_asked_again(server, hangs):
    with ExitStack() as stack:
        watched = Member(server, server.port)
        sentinels = [stack.enter_context(one_sentinel_over(bundled(), watched)).sentinels[0] for _ in range(3)]
        url = f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in sentinels)}/mymaster"
        async with manager_at(url) as manager:
            session_id = await manager.allocate_session()
            away = sentinels[0]
            await until(lambda: _questions_to(away) > 2)
            if hangs:
                away.server.signal(signal.SIGSTOP)
            else:
                away.server.kill()
            asked = _questions_to(sentinels[1])
            while _questions_to(sentinels[1]) < asked + 6:
                assert await manager.validate_session(session_id)
                await asyncio.sleep(0.01)
            if hangs:
                away.server.signal(signal.SIGCONT)
            else:
                await asyncio.to_thread(away.server.restart)
            asked = _questions_to(away)
            await until(lambda: _questions_to(away) > asked + 2, 8.0)


def _clients(farm: SentinelFarm) -> list[str]:
    found = [sentinel.client.client_list() for sentinel in farm.sentinels]
    return [one["name"] for clients in found for one in clients if one["name"] == "chuk-sessions"]


async def test_a_user_who_may_not_ask_for_the_role_takes_the_sentinels_word(farm):
    for member in farm.members:
        member.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-role")
    async with manager_at(farm.url.replace("redis://", "redis://app:secret@")) as manager:
        assert await manager.validate_session(await manager.allocate_session())


@pytest.mark.parametrize("known", [False, True])
async def test_a_primary_that_a_script_holds_up_is_waited_for(farm, known):
    primary = farm.primary()
    primary.command("CONFIG", "SET", BUSY_SETTING, BUSY_AFTER_MS)
    async with manager_at(farm.url) as manager:
        if known:
            await manager.allocate_session()
        holding = asyncio.create_task(asyncio.to_thread(primary.command, "EVAL", BUSY_LOOP, 0, 300))
        with primary.server.client() as client:
            await asyncio.to_thread(wait_for, lambda: _is_busy(client), "BUSY")
        assert await manager.validate_session(await manager.allocate_session())
        with suppress(redis.ResponseError):  # where this takes long, sentinels kill the script
            await holding
        assert not known or retries_of(manager) > 0
    primary.command("CONFIG", "SET", BUSY_SETTING, 5000)


def _is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.ResponseError as refused:
        return str(refused).startswith("BUSY")
    return False


async def test_a_call_that_is_refused_while_the_backend_closes_goes_on_with_new_connections(server):
    member = Member(server, server.port)
    with one_sentinel_over(bundled(), member) as farm:
        async with backend_on(farm.url) as backend:
            manager = manager_on(backend)
            session_id = await manager.allocate_session()
            member.command("REPLICAOF", "127.0.0.1", 1)
            validation = asyncio.create_task(manager.validate_session(session_id))
            await asyncio.sleep(0)
            assert backend.stats().in_flight == 1
            await backend.aclose()
            assert not validation.done()
            member.command("REPLICAOF", "NO", "ONE")
            assert await validation


async def test_a_cluster_behind_sentinels_is_not_supported(farms):
    cluster = farms["cluster"]
    session_id = ids.new_id(None, 7)
    other = next(one for one in cluster.owners() if one is not cluster.owner(slot_of_session(session_id)))
    with one_sentinel_over(bundled(), other) as farm:
        async with manager_at(farm.url) as manager:
            with pytest.raises(NotSupportedError, match="part of a cluster"):
                await manager.validate_session(session_id)


async def test_a_primary_that_says_that_its_cluster_is_down_is_asked_again():
    with one_node(bundled()) as member, one_sentinel_over(bundled(), member) as farm:
        async with manager_at(farm.url) as manager:
            allocation = asyncio.create_task(manager.allocate_session())
            await asyncio.to_thread(wait_for, lambda: retries_of(manager) > 1, "CLUSTERDOWN")
            member.command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
            assert await manager.validate_session(await allocation)
