"""SingleFlight and Poller on their own: how often they run, for which callers, and until when."""

from __future__ import annotations

import asyncio
import gc

import pytest

from chuk_sessions.backends.redis.net.circuit_breaker import CircuitOpenError
from chuk_sessions.backends.redis.net.resp import NotSentError
from chuk_sessions.backends.redis.topology.poller import Poller
from chuk_sessions.backends.redis.topology.single_flight import SingleFlight


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def test_refreshes_repeat_until_one_succeeds():
    begun: list[float] = []

    async def refresh() -> None:
        begun.append(asyncio.get_running_loop().time())

    flight = SingleFlight(refresh, 0.02)
    await flight.wait_until(lambda: len(begun) == 3, soon())
    assert min(begun[1] - begun[0], begun[2] - begun[1]) > 0.015
    flight.stop()


async def test_callers_share_a_refresh():
    begun = 0

    async def refresh() -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)

    flight = SingleFlight(refresh, 0.0)
    await asyncio.gather(*(flight.wait_until(lambda: True, soon()) for _ in range(5)))
    assert begun == 1
    flight.stop()


async def test_no_refresh_begins_after_stop():
    async def refresh() -> None:
        raise AssertionError("it has begun")

    flight = SingleFlight(refresh, 0.0)
    flight.stop()
    with pytest.raises(NotSentError, match="closed"):
        await flight.wait_until(lambda: True, soon())


async def test_a_canceled_refresh_begins_again_in_the_background():
    ready = asyncio.Event()
    running: list[asyncio.Task[None] | None] = []

    async def refresh() -> None:
        running.append(asyncio.current_task())
        await ready.wait()

    flight = SingleFlight(refresh, 0.0, max_outage=0.05)
    with pytest.raises(CircuitOpenError):
        await flight.wait_until(lambda: True, soon())
    (task,) = running
    assert task is not None
    task.cancel()
    ready.set()
    await asyncio.sleep(0.5)
    await flight.wait_until(lambda: True, soon())
    flight.stop()


async def test_polls_repeat_one_at_a_time_until_stop():
    polls, running, third = 0, 0, asyncio.Event()

    async def poll() -> None:
        nonlocal polls, running
        polls, running = polls + 1, running + 1
        assert running == 1
        await asyncio.sleep(0.005)
        running -= 1
        if polls == 3:
            poller.stop()
            third.set()

    poller = Poller(poll, 0.001)
    poller.start(first_after=0.0)
    await asyncio.wait_for(third.wait(), 5)
    await asyncio.sleep(0.03)
    assert polls == 3


async def test_a_poller_that_is_collected_polls_no_more():
    polled = False

    async def poll() -> None:
        nonlocal polled
        polled = True

    Poller(poll, 0.01).start()
    gc.collect()
    await asyncio.sleep(0.03)
    assert not polled


@pytest.mark.parametrize("kind", ["refresh", "poll"])
def test_a_task_of_a_closed_loop_is_not_logged(caplog: pytest.LogCaptureFixture, kind: str):
    begun = False

    async def work() -> None:
        nonlocal begun
        begun = True
        await asyncio.sleep(60)

    async def begin() -> SingleFlight | Poller:
        started: SingleFlight | Poller
        if kind == "refresh":
            started = flight = SingleFlight(work, 0.0)
            flight.start()
        else:
            started = poller = Poller(work, 60)
            poller.start(first_after=0.0)
        await asyncio.sleep(0.01)
        return started

    loop = asyncio.new_event_loop()
    started = loop.run_until_complete(begin())
    loop.close()
    started.stop()
    del started
    gc.collect()
    assert begun
    assert "destroyed" not in caplog.text
