"""The sessions' server is killed (kill -9) while shoppers use it: nobody is logged out, or gets another's session."""

from __future__ import annotations

import asyncio
from time import monotonic

from tests.web_examples.shoppers import Shopper
from tests.web_examples.waiting import TIMEOUT, until

SHOPPERS = 6
ROUNDS = 2
"""Rounds of each shopper before the outage, and after it."""


class Load:
    """Shoppers who shop until the end of the context. One who sees something wrong fails the test."""

    def __init__(self, crowd):
        self.shoppers = [Shopper(crowd, f"user-{number}") for number in range(SHOPPERS)]
        self._is_over = False

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(shopper.shop(lambda: self._is_over)) for shopper in self.shoppers]
        return self

    async def __aexit__(self, kind, *_):
        self._is_over = True
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=kind is not None)

    async def until(self, condition):
        """Wait for a condition."""

        def is_met():
            for task in self._tasks:
                if task.done():
                    task.result()
            return condition()

        await until(is_met)

    async def rounds(self):
        """Wait until each shopper has finished some more rounds."""
        goals = [(shopper, shopper.rounds + ROUNDS) for shopper in self.shoppers]
        await self.until(lambda: all(shopper.rounds >= goal for shopper, goal in goals))


async def all_workers_reach_the_store(site, device):
    """Return when each worker has loaded a session from the store since this was called."""
    workers = set()
    async with asyncio.timeout(TIMEOUT):
        while workers < site.workers:
            replies = await asyncio.gather(*(device.get("/cart") for _ in range(8)))
            workers |= {reply.body["worker"] for reply in replies if reply.status == 200}


async def test_a_killed_store_logs_nobody_out(site, crowd, mortal_store):
    def refused():
        return [reply for reply in crowd.replies if reply.status == 503]

    probe = crowd.device()
    await probe.log_in("probe")
    async with Load(crowd) as load:
        await load.rounds()
        assert refused() == []
        mortal_store.kill()
        await load.until(lambda: len(refused()) >= 4 * SHOPPERS)
        await asyncio.to_thread(mortal_store.restart)
        await all_workers_reach_the_store(site, probe)
        back = monotonic()
        await load.rounds()
    await asyncio.gather(*(shopper.check() for shopper in load.shoppers))
    assert [reply for reply in refused() if reply.began > back] == []
    assert (await probe.get("/cart")).body["user"] == "probe"
