"""Bulk migration is killed at random points and run again: nothing is lost or revived, even while slots move.

The long form kills 50 times and moves 100,000 sessions: `CHUK_TEST_LONG=1`, part of `make proof`. CHUK_TEST_SESSIONS is
another number of sessions for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from datetime import datetime

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis.topology.slots import slot_of
from chuk_sessions.providers import redis
from tests.harness.children import Child
from tests.harness.published import old_process

LONG = os.environ.get("CHUK_TEST_LONG") == "1"
KILLS = 50 if LONG else 5
SESSIONS = int(os.environ.get("CHUK_TEST_SESSIONS", "100000")) if LONG else 600
STARTUP = 1.5 if LONG else 0.6
"""About how long Python takes to start and to run the command, in seconds."""
COMMAND = [sys.executable, "-m", "chuk_sessions", "--json", "migrate", "--from-format", "published"]


def migrate(folder, source, target, *more):
    words = ["--from", source, "--to", target, "--state", str(folder / "state.json"), "--yes", *more]
    return Child([*COMMAND, *words], folder / "output")


def kill_at_random(folder, source, target, kills=KILLS):
    """Kill the command a number of times, each at a random time, and then let it finish."""
    rng, started = random.Random(), time.monotonic()
    for number in range(kills):
        checkpoint = changed_at(folder)
        child = migrate(folder, source, target)
        # Every other time, the copy has begun. Otherwise, Python may still be starting.
        while number % 2 == 0 and child.process.poll() is None and changed_at(folder) == checkpoint:
            time.sleep(0.005)
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(rng.uniform(0, 0.1 if number % 2 == 0 else STARTUP))
        child.process.kill()
        child.wait()
    child = migrate(folder, source, target, "--verify")
    code = child.process.wait(600)
    assert code == 0, child.printed()
    lines = [json.loads(line) for line in child.printed().splitlines() if line.startswith("{")]
    print(f"{kills} kills, {time.monotonic() - started:.0f} s: {lines}")
    return {line["phase"]: line for line in lines if "sessions" in line}


def remove_with_a_kill(folder, server):
    """Remove the sessions from the source, and kill the command when it has begun with it."""
    with server.client() as client:
        before = client.dbsize()
        child = migrate(folder, server.url, server.url, "--remove-source")
        while child.process.poll() is None and client.dbsize() >= before:
            time.sleep(0.001)
        child.process.kill()
        child.wait()
        child = migrate(folder, server.url, server.url, "--remove-source")
        assert child.process.wait(600) == 0, child.printed()
        assert not list(client.scan_iter("session:*", count=1000))


def changed_at(folder):
    """Return when the state file was last changed, or 0."""
    with suppress(FileNotFoundError):
        return (folder / "state.json").stat().st_mtime_ns
    return 0


def deadlines(process, ids):
    return {each: process.call("get_session_info", each)["expires_at"] for each in ids}


async def check(manager, alive, ended):
    """Check that sessions are alive with their deadlines, and others are not."""
    for session_id, deadline in alive.items():
        found = await manager.get_session_info(session_id)
        apart = datetime.fromisoformat(found["expires_at"]) - datetime.fromisoformat(deadline)
        assert abs(apart.total_seconds()) < 1
    assert not any([await manager.validate_session(each) for each in ended])
    assert await manager.count_sessions() == len(alive)


async def test_nothing_is_lost_or_revived(server, tmp_path):
    with old_process(server.url) as old:
        ids = old.call("many", SESSIONS)
        expected = deadlines(old, ids)
    manager = SessionManager("web", redis.factory(server.url))
    work = asyncio.get_running_loop().run_in_executor(None, kill_at_random, tmp_path, server.url, server.url)
    # Sessions end while they are migrated: each as soon as it has been copied.
    ended = set()
    while not work.done():
        for each in random.sample(ids, 5):
            if len(ended) < SESSIONS // 10 and await manager.delete_session(each):
                ended.add(each)
        await asyncio.sleep(0.02)
    report = await work
    assert report["compare"]["sessions"] >= SESSIONS
    assert report["compare"].get("ended", 0) == len(ended)
    alive = {each: at for each, at in expected.items() if each not in ended}
    await check(manager, alive, ended)
    await asyncio.to_thread(remove_with_a_kill, tmp_path, server)
    await check(manager, alive, ended)


async def test_slots_of_a_cluster_move_meanwhile(farms, tmp_path):
    farm = farms["cluster"]
    farm.empty()
    with old_process(farm.url) as old:
        ids = old.call("many", SESSIONS // 4)
        expected = deadlines(old, ids)
    work = asyncio.get_running_loop().run_in_executor(None, kill_at_random, tmp_path, farm.url, farm.url, KILLS // 2)
    slots = sorted({slot_of(f"session:{each}") for each in ids})
    home = {slot: farm.owner(slot) for slot in slots[:40]}
    moved = 0
    while not work.done():
        slot = random.choice(slots[:40])
        await asyncio.to_thread(farm.move, slot, random.choice(farm.owners()))
        moved += 1
        await asyncio.sleep(0.05)
        if moved > 200:
            break
    await work
    assert moved
    await check(SessionManager("web", redis.factory(farm.url)), expected, [])
    for slot, owner in home.items():
        farm.move(slot, owner)
    farm.empty()
