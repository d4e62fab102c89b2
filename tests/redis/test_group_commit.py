"""Concurrent writes that wait for a suspended replica: all are applied, and each caller gets its result in time."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator

import pytest

from chuk_sessions.exceptions import NotReplicatedError, OutcomeUnknownError, RevocationIncompleteError
from tests.conftest import bundled
from tests.harness.farms import cluster_farm, wait_for
from tests.harness.servers import Server
from tests.redis.tools import backend_on, load_scripts, manager_on, until

WAIT = 0.5
LATEST = WAIT + 0.5
MANY = 60

Stop = Callable[[], None]


@pytest.fixture
def primary(replicated: tuple[Server, Server]) -> Server:
    """Return the primary."""
    return replicated[0]


@pytest.fixture
def stop(replicated: tuple[Server, Server]) -> Iterator[Stop]:
    """Return a function that suspends the replica until the test ends."""
    yield lambda: replicated[1].signal(signal.SIGSTOP)
    replicated[1].signal(signal.SIGCONT)


async def until_waiting(server: Server) -> None:
    """Wait until a WAIT command blocks a client of the server."""
    with server.client() as client:
        await asyncio.to_thread(wait_for, lambda: bool(client.info("clients")["blocked_clients"]), "WAIT")


async def outcome(call: Awaitable[object]) -> tuple[type, float]:
    """Return the type of a call's result or error, and its duration in seconds."""
    begun = time.monotonic()
    [result] = await asyncio.gather(call, return_exceptions=True)
    return type(result), time.monotonic() - begun


async def not_replicated_in_time(calls: Iterable[Awaitable[object]]) -> int:
    """Assert that each call raises NotReplicatedError in time. Return the number of calls."""
    outcomes = await asyncio.gather(*map(outcome, calls))
    assert Counter(kind for kind, _ in outcomes) == {NotReplicatedError: len(outcomes)}
    assert max(seconds for _, seconds in outcomes) < LATEST
    return len(outcomes)


@pytest.mark.quiet
async def test_concurrent_allocations(primary: Server, stop: Stop):
    async with backend_on(primary.url, wait_replicas=1, wait_timeout=WAIT) as backend:
        manager = manager_on(backend)
        await manager.allocate_session()
        stop()
        calls = (manager.allocate_session(user_id=f"user{number}") for number in range(MANY))
        assert await not_replicated_in_time(calls) == MANY
        assert await manager.count_sessions() == MANY + 1


@pytest.mark.quiet
async def test_concurrent_logins(primary: Server, stop: Stop):
    async with backend_on(primary.url, wait_replicas=1, wait_timeout=WAIT) as backend:
        manager = manager_on(backend)
        guests = [await manager.allocate_session() for _ in range(MANY)]
        stop()
        calls = (manager.rotate_session(guest, user_id=f"user{number}") for number, guest in enumerate(guests))
        assert await not_replicated_in_time(calls) == MANY


@pytest.mark.quiet
async def test_staggered_calls(primary: Server, stop: Stop):
    async with backend_on(primary.url, wait_replicas=1, wait_timeout=WAIT) as backend:
        manager = manager_on(backend)
        await manager.allocate_session()
        stop()

        async def later(number: int) -> tuple[type, float]:
            # Calls start in every phase of other calls' waits. The delay before is not a part of the call.
            await asyncio.sleep(0.02 * number)
            return await outcome(manager.allocate_session())

        outcomes = await asyncio.gather(*map(later, range(MANY)))
        assert Counter(kind for kind, _ in outcomes) == {NotReplicatedError: MANY}
        assert max(seconds for _, seconds in outcomes) < LATEST
        assert backend.stats().connections < 8, "connections are shared"


async def test_calls_use_the_open_connections_while_another_one_cannot_be_opened(own_server: Server):
    timeout = 3 * WAIT
    async with backend_on(own_server.url, call_timeout=timeout, wait_replicas=1, wait_timeout=WAIT / 5) as backend:
        manager = manager_on(backend)
        calls = [asyncio.create_task(outcome(manager.allocate_session()))]
        await until_waiting(own_server)
        calls.append(asyncio.create_task(outcome(manager.allocate_session())))
        assert [kind for kind, _ in await asyncio.gather(*calls)] == [NotReplicatedError] * 2
        with own_server.client() as client:
            first, _ = sorted(int(one["id"]) for one in client.client_list() if one["name"] == "chuk-sessions")
            client.config_set("maxclients", 2)
            client.client_kill_filter(_id=str(first))
            await until(lambda: backend.stats().connections == 1)
            end = time.monotonic() + 2 * timeout
            while time.monotonic() < end:
                assert (await outcome(manager.allocate_session()))[0] is NotReplicatedError


async def test_revocation_deletes_everything_before_it_raises(primary: Server, stop: Stop):
    async with backend_on(primary.url, wait_replicas=1, wait_timeout=WAIT) as backend:
        manager = manager_on(backend)
        chosen = [await manager.allocate_session(f"chosen{number}", user_id="ann") for number in range(10)]
        generated = [await manager.allocate_session(user_id="ann") for _ in range(10)]
        stop()
        assert await not_replicated_in_time([manager.revoke_user_sessions("ann")]) == 1
        assert not any([await manager.validate_session(session_id) for session_id in (*chosen, *generated)])
        assert await manager.count_sessions("ann") == 0


async def test_a_revocation_that_loses_replies_is_incomplete_even_if_writes_are_not_replicated(certificates):
    with cluster_farm(bundled(), certificates=certificates) as farm:
        primaries, replicas = farm.members[: farm.primaries], farm.members[farm.primaries :]
        for member in primaries:
            load_scripts(member)
        async with backend_on(farm.url, wait_replicas=1, wait_timeout=WAIT) as backend:
            manager = manager_on(backend)
            for number in range(MANY):
                await manager.allocate_session(f"chosen{number}", user_id="ann")
            for member in replicas:
                member.server.signal(signal.SIGSTOP)
            assert primaries[0].proxy is not None
            losses = primaries[0].proxy.lose_replies(1, backend._scripts["delete"].sha)
            with pytest.raises(RevocationIncompleteError) as caught:
                await manager.revoke_user_sessions("ann")
            assert losses.met == 1
            assert type(caught.value.__cause__) is OutcomeUnknownError
            assert await manager.count_sessions("ann") == 0


async def test_a_canceled_call_does_not_affect_the_others(primary: Server, stop: Stop):
    async with backend_on(primary.url, wait_replicas=1, wait_timeout=WAIT) as backend:
        manager = manager_on(backend)
        await manager.allocate_session()
        stop()
        tasks = [asyncio.create_task(outcome(manager.allocate_session())) for _ in range(10)]
        await until_waiting(primary)
        for task in tasks[::2]:
            task.cancel()
        assert {kind for kind, _ in await asyncio.gather(*tasks[1::2])} == {NotReplicatedError}
        # The library deletes the sessions of the five canceled allocations in the background.
        async with asyncio.timeout(5):
            while await manager.count_sessions() > 6:  # noqa: ASYNC110  (the store has no event for it)
                await asyncio.sleep(0.01)
        assert await manager.count_sessions() == 6
        assert backend.stats().reconnects == 0


async def test_calls_sent_together_share_one_wait(primary: Server):
    async with backend_on(primary.url, wait_replicas=1) as backend:
        manager = manager_on(backend)
        await manager.allocate_session()
        before = wait_commands(primary)
        await asyncio.gather(*(manager.allocate_session() for _ in range(MANY)))
        assert wait_commands(primary) == before + 1


def wait_commands(server: Server) -> int:
    """Return how many WAIT commands the server has run."""
    with server.client() as client:
        return int(client.info("commandstats")["cmdstat_wait"]["calls"])


async def test_a_batch_that_collects_calls_is_not_lost_when_the_backend_closes(primary: Server, stop: Stop):
    async with backend_on(primary.url, wait_replicas=1, wait_timeout=WAIT) as backend:
        manager = manager_on(backend)
        await manager.allocate_session()
        stop()
        first = asyncio.create_task(outcome(manager.allocate_session()))
        await until_waiting(primary)
        second = asyncio.create_task(outcome(manager.allocate_session()))
        await until(lambda: backend.stats().connections == 2)
        await backend.aclose()
        assert [kind for kind, _ in (await first, await second)] == [NotReplicatedError] * 2
