"""A cluster that loses a node without a replica. Sessions on the other nodes can still be revoked, and calls that need
the node fail within the call timeout.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator

import pytest

from chuk_sessions import ProviderError, RevocationIncompleteError, SessionUnavailableError
from chuk_sessions.backends.redis.topology.slots import slot_of
from chuk_sessions.core import ids, keys
from tests.conftest import bundled
from tests.harness.farms import ClusterFarm, Member, cluster_farm
from tests.redis.tools import manager_at

CALL_TIMEOUT = 3.0
SLACK = 2.0
"""Seconds beyond the call timeout that a busy machine may take."""


@pytest.fixture
def farm() -> Iterator[ClusterFarm]:
    options = ("--appendonly", "yes", "--appendfsync", "always")
    with cluster_farm(bundled(), *options, replicas=False, node_timeout_ms=500) as farm:
        yield farm


def buckets_of(farm: ClusterFarm, member: Member) -> tuple[int, ...]:
    """Return the buckets whose slots a node has."""
    ranges = farm.slots_of(member)
    slots = {bucket: slot_of(keys.sandboxes(bucket)) for bucket in range(ids.BUCKETS)}
    return tuple(bucket for bucket, slot in slots.items() if any(slot in slots_ for slots_ in ranges))


def user_of(buckets: tuple[int, ...]) -> str:
    """Return a user whose home bucket is one of these."""
    return next(user for user in (f"user{n}" for n in range(1000)) if ids.home_bucket("test", user) in buckets)


async def create_sessions(manager, user: str) -> list[str]:
    """Create sessions in the home bucket, and one with a chosen id in every bucket. Return their ids."""
    session_ids = [await manager.allocate_session(user_id=user) for _ in range(5)]
    own = [ids.new_id(None, bucket) for bucket in range(ids.BUCKETS)]
    return session_ids + [await manager.allocate_session(session_id, user_id=user) for session_id in own]


async def timed(call) -> float:
    """Return the seconds until a call raises ProviderError."""
    begun = time.monotonic()
    with pytest.raises(ProviderError):
        await call
    return time.monotonic() - begun


@pytest.mark.parametrize("home_is_lost", [False, True])
async def test_revocation_reaches_all_nodes_that_reply_and_names_the_other_buckets(farm, home_is_lost):
    lost = farm.members[0]
    missing = buckets_of(farm, lost)
    alive = tuple(bucket for bucket in range(ids.BUCKETS) if bucket not in missing)
    user = user_of(missing if home_is_lost else alive)
    async with manager_at(farm.url, call_timeout=CALL_TIMEOUT) as manager:
        session_ids = await create_sessions(manager, user)
        unreachable = [one for one in session_ids if keys.session_keys("test", one).index_keys.bucket in missing]
        lost.server.kill()
        begun = time.monotonic()
        revocation = asyncio.create_task(manager.revoke_user_sessions(user))
        # Nodes that reply do not wait for the lost one.
        while any(
            [await manager.validate_session(session_id) for session_id in session_ids if session_id not in unreachable]
        ):
            assert not revocation.done()
        with pytest.raises(RevocationIncompleteError, match=r"85 of 256 buckets did not answer .*\(00-54\)") as caught:
            await revocation
        assert time.monotonic() - begun < CALL_TIMEOUT + SLACK
        assert caught.value.buckets == missing
        assert caught.value.revoked == len(session_ids) - len(unreachable)
        assert isinstance(caught.value.__cause__, SessionUnavailableError)
        await asyncio.to_thread(lost.server.restart)
        await asyncio.to_thread(farm.settle)
        assert await manager.revoke_user_sessions(user) == len(unreachable)
        assert await manager.count_sessions() == 0


async def test_calls_that_need_the_lost_node_fail_within_the_call_timeout(farm):
    lost = farm.members[0]
    missing = buckets_of(farm, lost)
    at_home, elsewhere = user_of(missing), user_of(buckets_of(farm, farm.members[2]))
    async with manager_at(farm.url, call_timeout=CALL_TIMEOUT) as manager:
        for user in (at_home, elsewhere):
            await manager.allocate_session(user_id=user)
        await manager.allocate_session(ids.new_id(None, missing[0]), user_id=elsewhere)
        lost.server.kill()

        async def iterate():
            return [found async for found in manager.iter_sessions()]

        calls = (
            manager.list_sessions(), manager.count_sessions(), iterate(),
            manager.cleanup_expired_sessions(all_sandboxes=True), manager.revoke_user_sessions(at_home),
            manager.list_user_sessions(at_home), manager.list_user_sessions(elsewhere),
            manager.count_sessions(at_home), manager.count_sessions(elsewhere),
        )  # fmt: skip
        assert max(await asyncio.gather(*map(timed, calls))) < CALL_TIMEOUT + SLACK


async def test_a_user_without_sessions_on_the_lost_node_does_not_need_it(farm):
    missing = buckets_of(farm, farm.members[0])
    user = user_of(buckets_of(farm, farm.members[2]))
    stray = next(bucket for bucket in range(ids.BUCKETS) if bucket not in missing)
    async with manager_at(farm.url, call_timeout=CALL_TIMEOUT) as manager:
        await manager.allocate_session(user_id=user)
        await manager.allocate_session(ids.new_id(None, stray), user_id=user)
        farm.members[0].server.kill()
        assert len(await manager.list_user_sessions(user)) == await manager.count_sessions(user) == 2
        assert await manager.revoke_user_sessions(user) == 2


async def test_a_home_bucket_that_hangs_does_not_delay_the_other_nodes(farm):
    hung = farm.members[0]
    missing = buckets_of(farm, hung)
    user = user_of(missing)
    strays = [ids.new_id(None, bucket) for bucket in range(ids.BUCKETS) if bucket not in missing][::10]
    async with manager_at(farm.url, call_timeout=CALL_TIMEOUT) as manager:
        for session_id in strays:
            await manager.allocate_session(session_id, user_id=user)
        hung.server.signal(signal.SIGSTOP)
        begun = time.monotonic()
        with pytest.raises(RevocationIncompleteError) as caught:
            await manager.revoke_user_sessions(user)
        assert time.monotonic() - begun < CALL_TIMEOUT + SLACK
        assert (caught.value.revoked, caught.value.buckets) == (len(strays), missing)
        hung.server.signal(signal.SIGCONT)
