"""The memory provider: expiry, sharing in a process, and threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.backends.memory.strings import Strings
from chuk_sessions.providers import memory


async def test_values_expire_by_its_clock():
    clock = ManualClock()
    async with memory.factory(clock)() as store:
        await store.setex("k", 1.5, "v")
        clock.advance(ms=1499)
        assert await store.get("k") == "v"
        clock.advance(ms=1)
        assert await store.get("k") is None
        assert await store.delete("k") is False


async def test_values_that_nobody_reads_are_dropped_too():
    clock = ManualClock()
    factory = memory.factory(clock)
    async with factory() as store:
        for number in range(10_000):
            await store.setex(f"k{number}", 1, "v")
            await store.setex("again and again", 1000, "v")
            clock.advance(ms=1)
        assert len(factory.backend.strings) <= 2001


class RacingDict(dict[str, tuple[str, int]]):
    """A dict where another thread sets a newer value just ahead of a removal.

    `before_restore` runs ahead of each `setdefault`, which restores a value that was removed by mistake.
    """

    def __init__(self, clock, before_restore):
        super().__init__(k=("expired", clock.now_ms()))
        self._clock, self._before_restore = clock, before_restore

    def pop(self, key, default=None):
        self[key] = "newer", self._clock.now_ms() + 1000
        return super().pop(key, default)

    def setdefault(self, key, entry):
        self._before_restore()
        return super().setdefault(key, entry)


def test_dropping_expired_values_loses_no_value_set_meanwhile():
    """A reader in a third thread waits for the lock until the value is back."""

    class SignalingLock:
        def __enter__(self):
            if threading.current_thread() is reader:
                requested.set()
            lock.acquire()

        def __exit__(self, *_):
            lock.release()

    def let_the_reader_wait():
        reader.start()
        assert requested.wait(10)

    clock, lock, requested, found = ManualClock(), threading.Lock(), threading.Event(), []
    strings = Strings(clock)
    strings.values, strings._lock = RacingDict(clock, let_the_reader_wait), SignalingLock()
    reader = threading.Thread(target=lambda: found.append(strings.get("k")))
    clock.advance(seconds=1)
    strings.drop(clock.now_ms())
    reader.join()
    assert found == [strings.get("k")] == ["newer"]


def test_dropping_expired_values_keeps_the_newest_value_set_meanwhile():
    clock = ManualClock()
    strings = Strings(clock)
    strings.values = RacingDict(clock, lambda: strings.values.update(k=("newest", clock.now_ms() + 1000)))
    clock.advance(seconds=1)
    strings.drop(clock.now_ms())
    assert strings.get("k") == "newest"


async def test_threads_read_their_own_writes_while_values_are_dropped():
    clock = ManualClock()
    factory = memory.factory(clock)

    async def use(name):
        async with factory() as store:
            for number in range(2000):
                clock.advance(seconds=2)
                await store.setex(f"{name}{number % 5}", 1, "short")
                await store.setex(f"{name}{number % 5}", 1_000_000, f"{number}")
                assert await store.get(f"{name}{number % 5}") == f"{number}"

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: asyncio.run(use(name)), "abcd"))
    assert len(factory.backend.strings) == 20


async def test_is_shared_by_all_factories_of_the_process():
    async with memory.factory()() as store:
        await store.set("shared by all", "v")
    async with memory.factory()() as store:
        assert await store.getdel("shared by all") == "v"


async def test_a_factory_with_a_clock_has_data_of_its_own():
    async with memory.factory(ManualClock())() as store:
        await store.set("apart", "v")
    async with memory.factory()() as store:
        assert await store.get("apart") is None
