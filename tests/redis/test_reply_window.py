"""The window for calls with possibly large replies, on its own."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions.backends.redis.net.reply_window import LARGE_REPLY, ReplyWindow, reply_size
from chuk_sessions.backends.redis.net.resp import NotSentError
from tests.redis.tools import soon, until


def answer(window: ReplyWindow, size: int = 0) -> None:
    window.calls -= 1
    window.record_reply(size)


def fill(window: ReplyWindow) -> int:
    entered = 0
    while window.try_acquire(0):
        entered += 1
    return entered


def widen(window: ReplyWindow) -> None:
    while window.learning:
        assert window.try_acquire(0)
        answer(window)


def test_the_window_starts_narrow_and_small_replies_widen_it_to_a_limit():
    window = ReplyWindow()
    assert fill(window) == window.limit == 8
    for _ in range(8):
        answer(window)
    assert window.limit == 16
    widen(window)
    assert fill(window) == window.limit == 128


def test_a_large_reply_closes_the_window_and_small_replies_open_it_again():
    window = ReplyWindow()
    widen(window)
    window.try_acquire(0)
    answer(window, 500_000)
    assert window.limit == 0
    assert window.expected_size == 500_000
    assert fill(window) == 8
    for _ in range(8):
        answer(window, 500_000)
    replies = 0
    while not window.limit:
        assert window.try_acquire(0)
        answer(window)
        replies += 1
    assert 20 < replies < 60
    assert window.expected_size == 0
    assert fill(window) == window.limit == 8


def test_the_expected_size_is_a_decaying_maximum():
    window = ReplyWindow()
    for size in (100_000, 900_000, 200_000):
        window.try_acquire(0)
        answer(window, size)
    assert 800_000 < window.expected_size < 900_000


async def test_calls_wait_first_in_first_out():
    window = ReplyWindow()
    fill(window)
    order: list[int] = []

    async def enter(number: int) -> None:
        await window.acquire(0, soon())
        order.append(number)

    tasks = [asyncio.create_task(enter(number)) for number in range(4)]
    await until(lambda: window.waiting == 4)
    answer(window)
    await until(lambda: len(order) == 2)
    assert window.waiting == 2
    answer(window)
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]
    assert window.calls == window.limit == 10


@pytest.mark.parametrize(("size", "most"), [(LARGE_REPLY, 64), (1 << 20, 4), (60 << 20, 1)])
async def test_large_replies_are_limited_to_some_megabytes_and_at_least_one_call(size: int, most: int):
    window = ReplyWindow()
    widen(window)
    entered = fill(window)
    tasks = [asyncio.create_task(window.acquire(0, soon())) for _ in range(300)]
    await until(lambda: window.waiting == 300)
    for _ in range(entered + 300 - most):
        answer(window, size)
        assert window.calls == max(entered, most) or window.calls <= entered
    await asyncio.gather(*tasks)
    assert window.calls == most


async def test_calls_that_time_out_or_are_canceled_leave_no_state():
    window = ReplyWindow()
    widen(window)
    entered = fill(window)
    canceled = asyncio.create_task(window.acquire(0, soon()))
    with pytest.raises(NotSentError):
        await window.acquire(0, soon(0.01))
    canceled.cancel()
    await asyncio.wait([canceled])
    for _ in range(entered):
        answer(window)
    assert window.calls == window.waiting == 0
    assert not window.learning


def test_the_size_of_a_reply_is_the_size_of_its_strings():
    assert reply_size([0, [b"a" * 10, b"b" * 20, [b"c"]], None, 7]) == 31
    assert reply_size({b"a": b"b" * 10, b"c": b""}) == 12
