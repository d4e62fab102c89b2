"""sweep and all other ends: sessions that end for each of the seven reasons have exactly one event of it.

There are 100 sessions of each reason, 100,000 with CHUK_TEST_LONG=1, or the number in CHUK_TEST_ENDS.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from typing import Any

import pytest

from chuk_sessions import SessionManager, SessionUnavailableError, session_hash
from chuk_sessions.core import operations
from tests.harness.events import read_events
from tests.harness.worlds import World
from tests.redis.tools import how_many

MANY = how_many("ENDS", 100, 100_000)
BATCH = 500
"""Sessions of the same user, who has all of them at once."""


async def create(world: World, user: str | None, **options: Any) -> list[str]:
    given: dict[str, Any] = {"events": True, "max_events": 10**7, "default_ttl_hours": 1, **options}
    manager = world.manager(**given)
    calls = (manager.allocate_session(user_id=user) for _ in range(min(BATCH, MANY)))
    return list(await asyncio.gather(*calls))


async def deleted(world: World, user: str) -> Sequence[str]:
    found = await create(world, user)
    # Two callers delete each session. One of them finds it.
    managers = [world.manager(), world.manager(events=True)]
    done = await asyncio.gather(*[manager.delete_session(one) for one in found for manager in managers])
    assert sum(done) == len(found)
    return found


async def revoked(world: World, user: str) -> Sequence[str]:
    found = await create(world, user)
    first, second = world.manager(), world.manager(events=True)
    counts = await asyncio.gather(first.revoke_user_sessions(user), second.revoke_user_sessions(user))
    assert sum(counts) == len(found)
    return found


async def expired(world: World, user: str) -> Sequence[str]:
    found = await create(world, user)
    await world.advance(hours=1)
    await asyncio.gather(*[world.manager().cleanup_expired_sessions() for _ in range(2)])
    return found


async def idle(world: World, user: str) -> Sequence[str]:
    found = await create(world, user, idle_timeout_seconds=60)
    await world.advance(seconds=60)
    await asyncio.gather(*[world.manager().cleanup_expired_sessions() for _ in range(2)])
    return found


async def evicted(world: World, user: str) -> Sequence[str]:
    found = await create(world, user)
    manager = world.manager(max_sessions_per_user=1)
    # Each new session evicts up to 32 old ones.
    while (await manager.count_sessions(user)) > 1:
        await manager.allocate_session(user_id=user)
    return found


async def replaced(world: World, user: str) -> Sequence[str]:
    found = await create(world, user)
    await asyncio.gather(*[world.manager().rotate_session(one, user_id=user) for one in found])
    return found


async def aborted(world: World, user: str) -> Sequence[str]:
    guests = await create(world, None, events=False)
    copies: list[str] = []

    async def fail(call):
        if call.operation is operations.ALLOCATE:
            copies.append(call.argv[0].decode())
        if call.operation is operations.DELETE and not call.operation.may_retry(call.argv):
            raise SessionUnavailableError("test")

    manager: SessionManager = world.intercepted(fail, events=True, max_events=10**7)
    done = await asyncio.gather(*[manager.rotate_session(one, user_id=user) for one in guests], return_exceptions=True)
    assert all(isinstance(one, SessionUnavailableError) for one in done)
    return copies


ENDS: dict[str, Callable[[World, str], Awaitable[Sequence[str]]]] = {
    "deleted": deleted,
    "revoked": revoked,
    "expired": expired,
    "idle": idle,
    "evicted": evicted,
    "replaced": replaced,
    "aborted": aborted,
}


@pytest.mark.parametrize("reason", ENDS)
async def test_every_session_ends_once_for_its_reason(world, reason):
    ended: list[str] = []
    for number in range(ceil(MANY / BATCH)):
        ended += await ENDS[reason](world, f"user{number}")
    expected = {one if reason == "aborted" else session_hash(one)[2:] for one in ended}
    assert len(expected) == len(ended) >= MANY
    ends: Counter[str] = Counter()
    for _, entry in await read_events(world):
        handle = entry.handle.decode()
        if entry.kind == "ended" and handle in expected:
            assert entry.reason == reason
            ends[handle] += 1
    assert ends == Counter(expected)
