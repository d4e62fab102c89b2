"""rate_limit: count requests by the generic cell rate algorithm."""

from __future__ import annotations

import asyncio
import math
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest

from chuk_sessions import CorruptRecordError, RateLimit, SessionTooLargeError
from chuk_sessions.core import data_operations, operations, rate_limits
from chuk_sessions.core.keys import session_keys

GATEWAYS, REQUESTS = 10, 1000
WAVES = [(0, 100), (599, 0), (1, 1), (30_000, 50), (0, 0), (3_600_000, 100), (61_234, 100), (1799, 2), (1, 1), (0, 0)]
"""Times in ms that pass before each wave of requests, and the requests that 100 per 60 s allow of it."""


class VirtualScheduling:
    """The algorithm as ITU-T I.371 describes it, in exact arithmetic.

    Attributes:
        interval: seconds between requests.
        tolerance: seconds that a request may be early.
        expected: the theoretical arrival time of the next request, in seconds.

    """

    def __init__(self, limit, per_seconds, burst):
        self.interval = Fraction(per_seconds) / limit
        self.tolerance = (burst - 1) * self.interval
        self.expected = Fraction(0)

    def arrive(self, now):
        if now < self.expected - self.tolerance:
            return False
        self.expected = max(now, self.expected) + self.interval
        return True


async def fields_of(world, session_id):
    reply = await world.backend.run(operations.read(session_keys("test", session_id)))
    return dict(zip(reply[1][::2], reply[1][1::2], strict=True))


async def test_ten_gateways_admit_a_burst_and_then_exactly_the_rate(single):
    gateways = [single.manager() for _ in range(GATEWAYS)]
    session_id, allowed = await gateways[0].allocate_session(), []
    for wait, _ in WAVES:
        await single.advance(ms=wait)
        results = await asyncio.gather(
            *(
                gateway.rate_limit_session(session_id, "api", 100, 60)
                for gateway in gateways
                for _ in range(REQUESTS // len(WAVES))
            )
        )
        allowed.append(sum(map(bool, results)))
    assert allowed == [expected for _, expected in WAVES]


@pytest.mark.parametrize(("limit", "per_seconds", "burst"), [(5, 1, 5), (1, 2, 1), (8, 1, 3), (2, 3, 20), (50, 1, 1)])
async def test_agrees_with_the_algorithm_of_the_recommendation(single, limit, per_seconds, burst):
    manager, random, model = single.manager(), Random(limit), VirtualScheduling(limit, per_seconds, burst)
    session_id = await manager.allocate_session()
    for _ in range(200):
        await single.advance(ms=random.choice([0, 0, 0, 19, 20, 21, 124, 125, 126, 500, 1500, 2000]))
        found = await manager.rate_limit_session(session_id, "x", limit, per_seconds, burst=burst)
        assert found.allowed is model.arrive(Fraction(single.clock.now_ms(), 1000))


async def test_the_result_tells_what_is_left_and_how_long_to_wait(single):
    manager = single.manager()
    session_id = await manager.allocate_session()

    async def request(**options):
        return await manager.rate_limit_session(session_id, "x", 6, 60, burst=3, **options)

    assert await request() == RateLimit(True, 2, 0.0, 10.0)
    assert await request(cost=2) == (True, 0, 0.0, 30.0)
    assert await request() == (False, 0, 10.0, 30.0)
    assert await request(cost=3) == (False, 0, 30.0, 30.0)
    await single.advance(seconds=12.5)
    assert await request(cost=2) == (False, 1, 7.5, 17.5)
    assert await request() == (True, 0, 0.0, 27.5)
    await single.advance(hours=1)
    assert await request(cost=3) == (True, 0, 0.0, 30.0)


@pytest.mark.parametrize(("limit", "per_seconds"), [(7, 1), (3, 0.1), (999, 1), (100_000, 1), (1, 0.0003)])
async def test_waiting_as_long_as_it_says_is_enough_and_necessary(single, limit, per_seconds):
    manager = single.manager()
    session_id = await manager.allocate_session()
    assert await manager.rate_limit_session(session_id, "x", limit, per_seconds, burst=1)
    for _ in range(20):
        refused = await manager.rate_limit_session(session_id, "x", limit, per_seconds, burst=1)
        assert not refused
        wait = round(refused.retry_after * 1000)
        await single.advance(ms=wait - 1)
        assert not await manager.rate_limit_session(session_id, "x", limit, per_seconds, burst=1)
        await single.advance(ms=1)
        assert await manager.rate_limit_session(session_id, "x", limit, per_seconds, burst=1)


async def test_high_rates_are_kept_exactly(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    allowed = 0
    for _ in range(20):
        results = [await manager.rate_limit_session(session_id, "x", 20_000, 1, burst=20) for _ in range(25)]
        allowed += sum(map(bool, results))
        await single.advance(ms=1)
    assert allowed == 20 * 20


async def test_names_have_limits_of_their_own(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    for name in ("a", "b", "a" * 128, "é/\ud800 \0"):
        assert await manager.rate_limit_session(session_id, name, 1, 60)
        assert not await manager.rate_limit_session(session_id, name, 1, 60)


async def test_is_neither_an_access_nor_a_change(single):
    manager = single.manager(idle_timeout_seconds=60)
    session_id = await manager.allocate_session(custom_metadata={"a": 1})
    before = await manager.get_session_metadata(session_id)
    await single.advance(seconds=59)
    assert await manager.rate_limit_session(session_id, "x", 1, 60)
    assert await manager.get_session_metadata(session_id) == before
    assert await manager.update_session_metadata(session_id, {}, merge=False, expected_version=before.version)
    assert not await manager.rate_limit_session(session_id, "x", 1, 60)
    await single.advance(seconds=1)
    assert await manager.rate_limit_session(session_id, "x", 1, 60) is None


async def test_a_refused_request_writes_nothing(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    assert await manager.rate_limit_session(session_id, "x", 1, 60)
    before = await fields_of(single, session_id)
    assert len(before[b"l:x"]) == 15
    assert not await manager.rate_limit_session(session_id, "x", 1, 60, idempotency_key="k")
    assert await fields_of(single, session_id) == before


async def test_limits_no_unknown_session(single):
    manager = single.manager()
    for session_id in ("from-a-cookie", "../..", None):
        assert await manager.rate_limit_session(session_id, "x", 1, 60) is None


async def test_works_under_an_old_id(single):
    manager = single.manager()
    old = await manager.allocate_session()
    new = await manager.rotate_session(old, grace_seconds=60)
    assert await manager.rate_limit_session(old, "x", 2, 60, idempotency_key="k") == (True, 1, 0.0, 30.0)
    assert await manager.rate_limit_session(new, "x", 2, 60) == (True, 0, 0.0, 60.0)


async def test_an_idempotency_key_counts_once_for_each_name(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    for _ in range(3):
        for name in ("minute", "day"):
            assert await manager.rate_limit_session(session_id, name, 3, 60, idempotency_key="k") == (True, 2, 0, 20)
    await single.advance(seconds=601)
    assert await manager.rate_limit_session(session_id, "day", 3, 60, cost=3)
    assert not await manager.rate_limit_session(session_id, "day", 3, 60, idempotency_key="k")


async def test_a_refused_request_leaves_its_idempotency_key_free(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    assert await manager.rate_limit_session(session_id, "x", 1, 60)
    assert not await manager.rate_limit_session(session_id, "x", 1, 60, idempotency_key="k")
    await single.advance(seconds=60)
    assert await manager.rate_limit_session(session_id, "x", 1, 60, idempotency_key="k")
    assert await manager.rate_limit_session(session_id, "x", 1, 60, idempotency_key="k")


async def test_counts_toward_the_size_of_the_session(single):
    manager = single.manager(max_session_bytes=37)
    session_id = await manager.allocate_session()
    assert await manager.rate_limit_session(session_id, "x", 1, 60)
    assert await manager.rate_limit_session(session_id, "y", 1, 60)
    with pytest.raises(SessionTooLargeError, match="54"):
        await manager.rate_limit_session(session_id, "z", 1, 60)
    with pytest.raises(SessionTooLargeError):
        await manager.update_session_metadata(session_id, {"a": 1})
    for _ in range(3):
        await single.advance(seconds=60)
        assert await manager.rate_limit_session(session_id, "x", 1, 60)
    fields = await fields_of(single, session_id)
    assert int(fields[b"z"]) == sum(len(name) + len(value) for name, value in fields.items() if len(name) > 1) == 36


@pytest.mark.parametrize("value", [b"", b"soon", b"1e14", b"9" * 16], ids=str)
async def test_raises_an_error_for_a_damaged_field(single, value):
    manager = single.manager()
    session_id = await manager.allocate_session()
    await single.backend.run(data_operations.merge(session_keys("test", session_id), pairs=[b"l:x", value]))
    with pytest.raises(CorruptRecordError):
        await manager.rate_limit_session(session_id, "x", 1, 60)
    assert await manager.rate_limit_session(session_id, "y", 1, 60)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": 7}, "name"),
        ({"limit": 0}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"limit": True}, "limit"),
        ({"per_seconds": 0}, "per_seconds"),
        ({"per_seconds": math.nan}, "per_seconds"),
        ({"per_seconds": math.inf}, "per_seconds"),
        ({"per_seconds": "60"}, "per_seconds"),
        ({"burst": 0}, "burst"),
        ({"burst": "all"}, "burst"),
        ({"cost": 0}, "cost"),
        ({"cost": 4}, "cost"),
        ({"burst": 2, "cost": 3}, "cost"),
        ({"limit": 70_000, "per_seconds": 1}, "too many"),
        ({"limit": 2**53 - 1}, "too many"),
        ({"per_seconds": 1e-12}, "too many"),
        ({"limit": 1, "per_seconds": 3600 * 24 * 366 * 60, "burst": 2}, "hundred years"),
        ({"idempotency_key": ""}, "idempotency key"),
    ],
    ids=str,
)
async def test_refuses_invalid_arguments(single, changes, words):
    manager = single.manager()
    session_id = await manager.allocate_session()
    arguments = {"session_id": session_id, "name": "x", "limit": 3, "per_seconds": 60} | changes
    with pytest.raises(ValueError, match=words):
        await manager.rate_limit_session(**arguments)
    assert b"l:x" not in await fields_of(single, session_id)


def test_an_interval_is_rounded_up_by_at_most_one_percent():
    for limit in range(1, 1001):
        rate = rate_limits.rate(limit, 1, None, 1)
        assert 1 <= rate.interval * limit / 100_000 <= 1.01
    for limit, interval in {1000: 100, 10_000: 10, 100_000: 1}.items():
        assert rate_limits.rate(limit, 1, None, 1).interval == interval
    intervals = [rate_limits.rate(limit, 60, None, 1).interval for limit in (1, 100, 60_000)]
    assert intervals == [6_000_000, 60_000, 100]
    assert all(slower > faster for slower, faster in pairwise(intervals))


@pytest.mark.parametrize("allowed", [True, False])
def test_a_result_is_true_if_the_request_was_allowed(allowed):
    assert bool(RateLimit(allowed, 0, 0.0, 0.0)) is allowed
