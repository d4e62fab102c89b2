"""The sessions' server is killed (kill -9) while shoppers use it: nobody is logged out, or gets another's session."""

from __future__ import annotations

import asyncio
from time import monotonic

from tests.web_examples.shoppers import Shopper

SHOPPERS = 6
ROUNDS = 2
"""Rounds of each shopper before the outage, and after it."""
TIMEOUT = 60.0


async def until(condition, tasks):
    """Wait for a condition, while tasks run that fail if something is wrong."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)


async def all_workers_reach_the_store(site, device):
    """Return when each worker has loaded a session from the store since this was called."""
    workers = set()
    async with asyncio.timeout(TIMEOUT):
        while workers < site.workers:
            replies = await asyncio.gather(*(device.get("/me") for _ in range(8)))
            workers |= {reply.body["worker"] for reply in replies if reply.status == 200}


async def test_a_killed_store_logs_nobody_out(site, crowd, store):
    shoppers = [Shopper(crowd, f"user-{number}") for number in range(SHOPPERS)]
    probe, is_over = crowd.device(), False
    await probe.log_in("probe")
    tasks = [asyncio.create_task(shopper.shop(lambda: is_over)) for shopper in shoppers]

    def one_more_round():
        goals = [(shopper, shopper.rounds + ROUNDS) for shopper in shoppers]
        return lambda: all(shopper.rounds >= goal for shopper, goal in goals)

    def refused():
        return [reply for reply in crowd.replies if reply.status == 503]

    await until(one_more_round(), tasks)
    assert refused() == []

    store.kill()
    await until(lambda: len(refused()) >= 4 * SHOPPERS, tasks)
    await asyncio.to_thread(store.restart)
    await all_workers_reach_the_store(site, probe)
    back = monotonic()

    await until(one_more_round(), tasks)
    is_over = True
    await asyncio.gather(*tasks)
    await asyncio.gather(*(shopper.check() for shopper in shoppers))
    assert [reply for reply in refused() if reply.began > back] == []
    assert (await probe.get("/me")).body["user"] == "probe"
