"""Rounds by themselves: how often, for whom, and until when."""

from __future__ import annotations

import asyncio
import gc

import pytest

from chuk_sessions.backends.redis.net.resp import NotSentError
from chuk_sessions.backends.redis.topology.single_flight import SingleFlight


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def test_they_go_on_until_it_is_found():
    begun: list[float] = []

    async def look() -> None:
        begun.append(asyncio.get_running_loop().time())

    rounds = SingleFlight(look, 0.02)
    await rounds.until(lambda: len(begun) == 3, soon())
    assert min(begun[1] - begun[0], begun[2] - begun[1]) > 0.015
    rounds.stop()


async def test_after_their_end_there_are_no_more():
    async def look() -> None:
        raise AssertionError("it has begun")

    rounds = SingleFlight(look, 0.0)
    rounds.stop()
    with pytest.raises(NotSentError, match="closed"):
        await rounds.until(lambda: True, soon())


def test_one_whose_loop_was_closed_is_not_complained_of(caplog: pytest.LogCaptureFixture):
    async def look() -> None:
        await asyncio.sleep(60)

    async def begin() -> SingleFlight:
        rounds = SingleFlight(look, 0.0)
        rounds.start()
        await asyncio.sleep(0.01)
        return rounds

    loop = asyncio.new_event_loop()
    rounds = loop.run_until_complete(begin())
    loop.close()
    rounds.stop()
    del rounds
    gc.collect()
    assert "destroyed" not in caplog.text
