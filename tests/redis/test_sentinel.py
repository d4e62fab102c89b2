"""Sentinel: clients find the primary, and its successor after a failover."""

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

from chuk_sessions import NotSupportedError, SessionUnavailableError
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.backends.redis.topology.slots import SLOTS
from chuk_sessions.core import ids, keys
from tests.conftest import bundled
from tests.harness.farms import Member, SentinelFarm, add_sentinel, one_node, one_sentinel_over, sentinel_farm, wait_for
from tests.harness.servers import running
from tests.redis.tools import (
    BUSY_AFTER_MS,
    BUSY_LOOP,
    BUSY_SETTING,
    EVENT_LOOPS,
    backend_on,
    manager_at,
    manager_on,
    retries_of,
    slot_of_session,
    until,
)
from tests.redis.topology_load import load_on

SENTINELS_LATEST = 15.0
POLL_LATEST = 3.0


@pytest.fixture
def farm(farms) -> SentinelFarm:
    """Return a shared farm. Tests must not damage it."""
    farm = farms["sentinel"]
    farm.empty()
    assert isinstance(farm, SentinelFarm)
    return farm


async def test_writes_continue_after_the_primary_is_killed(capsys):
    with sentinel_farm(bundled()) as farm:
        async with (
            manager_at(farm.url, call_timeout=SENTINELS_LATEST) as manager,
            load_on(manager, keyed=True, churn_tasks=0) as load,
        ):
            await asyncio.sleep(0.3)
            killed = farm.primary()
            killed.server.kill()
            at = time.monotonic()
            needed = await asyncio.to_thread(_wait_for_new_primary, farm, killed)
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


async def _fail_over(farm: SentinelFarm) -> Member:
    """Let the sentinels fail over. Return the old primary."""
    old = farm.primary()
    farm.sentinels[0].command("SENTINEL", "FAILOVER", "mymaster")
    await asyncio.to_thread(_wait_for_new_primary, farm, old)
    return old


def _wait_for_new_primary(farm: SentinelFarm, old: Member) -> float:
    return wait_for(lambda: farm.primary() is not old, "another primary", SENTINELS_LATEST)


async def test_a_demoted_primary_is_not_read_from():
    with sentinel_farm(bundled()) as farm:
        async with manager_at(farm.url, call_timeout=SENTINELS_LATEST) as manager:
            session_id = await manager.allocate_session(custom_metadata={"n": 1})
            old = await _fail_over(farm)
            # Sentinels send this some seconds later. Without a primary, the server keeps its old data.
            old.command("REPLICAOF", "127.0.0.1", 1)
            old.command("CLIENT", "KILL", "TYPE", "normal")
            for n in range(2, 50):
                assert await manager.update_session_metadata(session_id, {"n": n}, idempotency_key=str(n))
                found = await manager.get_session_metadata(session_id)
                assert found is not None
                assert found.custom_metadata == {"n": n}


async def test_clients_leave_a_primary_that_becomes_read_only(caplog):
    with sentinel_farm(bundled()) as farm:
        async with manager_at(farm.url, call_timeout=SENTINELS_LATEST) as manager:
            session_id = await manager.allocate_session(custom_metadata={"n": 1})
            old = await _fail_over(farm)
            old.command("REPLICAOF", "127.0.0.1", 1)
            assert await manager.update_session_metadata(session_id, {"n": 2}), "READONLY first, then the new primary"
            assert farm.primary().command("HGET", keys.session_keys("test", session_id).record, "m:n") == b"2"
    logged = [one.getMessage().partition(":")[0] for one in caplog.records if one.levelname == "WARNING"]
    assert logged.count("failover") == 1
    assert logged.count("primary demoted") <= 1, "the sentinels may have been queried before the write"


async def test_a_primary_that_was_replaced_while_suspended_is_not_used():
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
    """Run a farm whose primary can be cut off from sentinels and replicas, but not from clients, which notice nothing.

    Return the farm, the login of the clients as the start of a URL, and a function that cuts the primary off.
    """
    with sentinel_farm(bundled()) as farm:
        for member in farm.members:
            member.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all")
        old = farm.primary()

        def split() -> None:
            old.command("CONFIG", "SET", "requirepass", "unknown to all")
            old.command("CLIENT", "KILL", "USER", "default", "SKIPME", "yes")

        yield farm, "redis://app:secret@", split


def _has(member: Member, session_id: str) -> bool:
    return bool(member.command("EXISTS", keys.session_keys("test", session_id).record))


async def test_clients_leave_a_primary_that_only_they_can_reach():
    with split_farm() as (farm, login, split):
        old = farm.primary()
        async with manager_at(farm.url.replace("redis://", login)) as manager:
            assert _has(old, await manager.allocate_session())
            split()
            await asyncio.to_thread(wait_for, lambda: _named_by_none(farm, old), "another primary")
            begun = time.monotonic()
            while _has(old, await manager.allocate_session()):
                assert time.monotonic() - begun < POLL_LATEST
            assert old.info("replication")["role"] == "master", "it cannot know of its demotion"
            assert _has(farm.primary(), await manager.allocate_session())
            assert "app" not in [one["user"] for one in old.client.client_list()]


async def test_of_two_sentinels_that_disagree_the_newer_configuration_is_used():
    with split_farm() as (farm, login, split), ExitStack() as stack:
        old = farm.primary()
        split()
        await asyncio.to_thread(wait_for, lambda: _named_by_none(farm, old), "another primary")
        stale = add_sentinel(stack, bundled(), farm, 500)
        assert farm.named(stale) is old, "it cannot reach that server, and so discovers nothing"
        url = f"{login}127.0.0.1:{stale.port},127.0.0.1:{farm.sentinels[0].port}/mymaster"
        for _ in range(8):
            async with manager_at(url) as manager:
                assert not _has(old, await manager.allocate_session())


@EVENT_LOOPS
def test_polling_stops_with_its_loop(farm, run, caplog):
    backend = RedisBackend(farm.url)
    for _ in range(2):
        run(_use_until_polled(backend, farm))
    assert not caplog.records


async def test_polling_stops_with_its_backend(farm, caplog):
    backend = RedisBackend(farm.url)
    await _use_until_polled(backend, farm)
    dropped = weakref.ref(backend)
    del backend
    await until(lambda: gc.collect() >= 0 and dropped() is None)
    assert not caplog.records


async def _use_until_polled(backend: RedisBackend, farm: SentinelFarm) -> None:
    """Call the backend, and wait until it has polled the sentinels."""
    await backend.command("GET", "k")
    before = _commands_to(farm.sentinels[0])
    await until(lambda: _commands_to(farm.sentinels[0]) > before)


def _commands_to(sentinel: Member) -> int:
    """Return how many commands the library's connections have sent to a sentinel."""
    return sum(int(one["tot-cmds"]) for one in sentinel.client.client_list() if one["name"] == "chuk-sessions")


def _connections_to(sentinel: Member) -> int:
    return int(sentinel.info("stats")["total_connections_received"])


async def test_one_sentinel_of_three_that_names_a_dead_server_is_outvoted(server):
    with running(bundled()) as other, ExitStack() as stack:
        alive, dead = Member(server, server.port), Member(other, other.port)
        correct = [stack.enter_context(one_sentinel_over(bundled(), alive)).sentinels[0] for _ in range(2)]
        [outdated] = stack.enter_context(one_sentinel_over(bundled(), dead)).sentinels
        url = f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in (*correct, outdated))}/mymaster"
        async with manager_at(url, call_timeout=1.0) as manager:
            session_id = await manager.allocate_session()
            other.kill()
            for sentinel in correct:
                sentinel.server.kill()
            before = _commands_to(outdated)
            while _commands_to(outdated) < before + 6:
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
    assert time.monotonic() - begun < 2, "a wrong password is not retried"


async def test_tls_on_every_hop(certificates):
    with sentinel_farm(bundled(), certificates=certificates) as farm:
        async with manager_at(farm.url) as manager:
            assert await manager.validate_session(await manager.allocate_session())
        spoken = b"".join(chunk for member in farm.members for chunk in _proxy(member).plainly)
        assert b"REPLCONF" in spoken, "the proxies record traffic without TLS"
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


async def test_a_sentinel_that_is_down_is_skipped(farm):
    url = farm.url.replace("redis://", "redis://127.0.0.1:1,")
    async with manager_at(url) as manager:
        assert await manager.validate_session(await manager.allocate_session())


async def test_the_address_of_one_sentinel_is_enough(farm):
    async with manager_at(f"redis+sentinel://127.0.0.1:{farm.sentinels[1].port}/mymaster") as manager:
        assert await manager.validate_session(await manager.allocate_session())


async def test_a_service_that_no_sentinel_knows_is_an_outage(farm):
    async with manager_at(farm.url.replace("mymaster", "nobody"), call_timeout=0.3) as manager:
        with pytest.raises(SessionUnavailableError):
            await manager.allocate_session()


async def test_an_idle_client_keeps_one_connection_to_each_sentinel(farm):
    async with manager_at(farm.url) as manager:
        await manager.allocate_session()
        await until(lambda: len(_clients(farm)) == 3)
        # On a busy machine, a poll may be late and cost its connection, but not each time.
        runs = 0
        while not await _polls_without_a_new_connection(farm):
            assert (runs := runs + 1) < 3
        assert len(_clients(farm)) == 3
    await asyncio.to_thread(wait_for, lambda: not _clients(farm), "no connections of the library")


async def _polls_without_a_new_connection(farm: SentinelFarm) -> bool:
    before = [_connections_to(sentinel) for sentinel in farm.sentinels]
    polls = _commands_to(farm.sentinels[0])
    await until(lambda: _commands_to(farm.sentinels[0]) >= polls + 6, 10.0)
    return [_connections_to(sentinel) for sentinel in farm.sentinels] == before


@pytest.mark.parametrize("hangs", [False, True], ids=["is killed", "hangs"])
async def test_a_sentinel_that_was_down_is_queried_again(server, hangs):
    with ExitStack() as stack:
        monitored = Member(server, server.port)
        sentinels = [stack.enter_context(one_sentinel_over(bundled(), monitored)).sentinels[0] for _ in range(3)]
        url = f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in sentinels)}/mymaster"
        async with manager_at(url) as manager:
            session_id = await manager.allocate_session()
            down = sentinels[0]
            await until(lambda: _commands_to(down) > 2)
            if hangs:
                down.server.signal(signal.SIGSTOP)
            else:
                down.server.kill()
            before = _commands_to(sentinels[1])
            while _commands_to(sentinels[1]) < before + 6:
                assert await manager.validate_session(session_id)
                await asyncio.sleep(0.01)
            if hangs:
                down.server.signal(signal.SIGCONT)
            else:
                await asyncio.to_thread(down.server.restart)
            before = _commands_to(down)
            await until(lambda: _commands_to(down) > before + 2, 8.0)


def _clients(farm: SentinelFarm) -> list[str]:
    found = [sentinel.client.client_list() for sentinel in farm.sentinels]
    return [one["name"] for clients in found for one in clients if one["name"] == "chuk-sessions"]


async def test_a_user_without_the_right_to_role_trusts_the_sentinels(farm):
    for member in farm.members:
        member.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-role")
    async with manager_at(farm.url.replace("redis://", "redis://app:secret@")) as manager:
        assert await manager.validate_session(await manager.allocate_session())


@pytest.mark.parametrize("known", [False, True])
async def test_calls_wait_for_a_primary_with_a_busy_script(farm, known):
    primary = farm.primary()
    primary.command("CONFIG", "SET", BUSY_SETTING, BUSY_AFTER_MS)
    async with manager_at(farm.url) as manager:
        if known:
            await manager.allocate_session()
        holding = asyncio.create_task(asyncio.to_thread(primary.command, "EVAL", BUSY_LOOP, 0, 300))
        with primary.server.client() as client:
            await asyncio.to_thread(wait_for, lambda: _is_busy(client), "BUSY")
        assert await manager.validate_session(await manager.allocate_session())
        with suppress(redis.ResponseError):  # sentinels kill a script that runs for long
            await holding
        assert not known or retries_of(manager) > 0
    primary.command("CONFIG", "SET", BUSY_SETTING, 5000)


def _is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.ResponseError as refused:
        return str(refused).startswith("BUSY")
    return False


async def test_a_call_refused_while_the_backend_closes_uses_new_connections(server):
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


async def test_clusterdown_from_a_primary_is_retried():
    with one_node(bundled()) as member, one_sentinel_over(bundled(), member) as farm:
        async with manager_at(farm.url) as manager:
            allocation = asyncio.create_task(manager.allocate_session())
            await asyncio.to_thread(wait_for, lambda: retries_of(manager) > 1, "CLUSTERDOWN")
            member.command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
            assert await manager.validate_session(await allocation)
