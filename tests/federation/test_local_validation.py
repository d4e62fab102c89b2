"""Local validation: off by default, never longer than its bound, and cut short by events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chuk_sessions import session_hash
from chuk_sessions.federation import Federation, ResolvedGrant
from chuk_sessions.federation.local_validation import LocalValidation
from chuk_sessions.federation.tokens import Grant
from tests.harness.federated import GIVING, KEY
from tests.harness.readers import reading

TRUST = {"test": {"k1": KEY.public_key()}}
LONG = 3600.0
STARTED = int(time.time())  # one time for all grants, which are equal only with equal times


@asynccontextmanager
async def granted(world: Any, local_seconds: float | None) -> AsyncIterator[tuple[Any, str, Federation, Any]]:
    """Yield the giving manager, its session, the federation of the resolving one, and a function that resolves."""
    federation = Federation(trust=TRUST, local_seconds=local_seconds)
    async with world.manager(events=True, **GIVING) as giving, world.manager("other", federation=federation) as other:
        session_id = await giving.allocate_session(user_id="alice")
        token = await giving.grant_session(session_id, to="other", path="reports")

        async def resolve(path: str = "reports/q1") -> ResolvedGrant | None:
            found: ResolvedGrant | None = await other.resolve_grant(token, path)
            return found

        assert await resolve() is not None
        yield giving, session_id, federation, resolve


async def test_grants_are_always_checked_by_default(world):
    async with granted(world, None) as (giving, session_id, _, resolve):
        await giving.revoke_grants(session_id)
        assert await resolve() is None


async def test_a_grant_may_outlive_its_revocation_within_the_bound(world):
    async with granted(world, LONG) as (giving, session_id, _, resolve):
        await giving.revoke_grants(session_id)
        assert await resolve() is not None
        assert await resolve("other") is None


async def test_after_the_bound_the_store_is_asked(world):
    async with granted(world, 0.05) as (giving, session_id, _, resolve):
        await giving.revoke_grants(session_id)
        async with asyncio.timeout(30):
            while await resolve() is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("end", ["delete", "login"])
async def test_events_cut_it_short(world, end):
    async with granted(world, LONG) as (giving, session_id, federation, resolve):

        async def listen() -> None:
            async with reading(world) as events:
                async for event in events:
                    federation.session_changed(event)

        listening = asyncio.create_task(listen())
        if end == "delete":
            await giving.delete_session(session_id)
        else:
            await giving.rotate_session(session_id, user_id="bob")
        async with asyncio.timeout(30):
            while await resolve() is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_a_rotated_session_is_always_checked(world):
    """The event of its end will have another reference than the grant."""
    federation = Federation(trust=TRUST, local_seconds=LONG)
    async with world.manager(**GIVING) as giving, world.manager("other", federation=federation) as other:
        session_id = await giving.allocate_session()
        token = await giving.grant_session(session_id, to="other")
        rotated = await giving.rotate_session(session_id)
        assert await other.resolve_grant(token, "x") is not None
        await giving.revoke_grants(rotated)
        assert await other.resolve_grant(token, "x") is None


def grant(session: str = "one", seconds: int = 86_400) -> Grant:
    return Grant("test", "other", session_hash(session), "", ("read",), "id", STARTED, STARTED + seconds)


RESOLVED = ResolvedGrant("test", session_hash("one"), None, "", ("read",), "2030-01-01T00:00:00Z")


def test_the_event_of_an_end_may_arrive_before_the_reply():
    local = LocalValidation(LONG)
    local.forget("test", session_hash("one"))
    local.put(grant(), RESOLVED, time.monotonic())
    assert local.get(grant()) is None
    local.put(grant("two"), RESOLVED, time.monotonic())
    assert local.get(grant("two")) is RESOLVED


def test_the_bound_begins_when_the_store_was_asked():
    local = LocalValidation(10)
    local.put(grant(), RESOLVED, time.monotonic() - 10)
    assert local.get(grant()) is None


def test_an_expired_grant_is_not_kept():
    local = LocalValidation(LONG)
    local.put(grant(seconds=0), RESOLVED, time.monotonic())
    assert local.get(grant(seconds=0)) is None


def test_the_oldest_grants_are_dropped():
    local = LocalValidation(LONG, max_grants=2)
    for name in ("one", "two", "three"):
        local.put(grant(name), RESOLVED, time.monotonic())
    assert [local.get(grant(name)) is not None for name in ("one", "two", "three")] == [False, True, True]


def test_the_bound_is_checked():
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="local_seconds"):
            Federation(trust=TRUST, local_seconds=seconds)
