"""Faults of one server. Each returns when it is over, that is, when the server can answer again."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

from chuk_sessions import SessionManager
from tests.faults.environments import Stage
from tests.faults.load.load import Load
from tests.harness.farms import wait_for
from tests.harness.servers import Server

HOLD_UP = """
local function now() local time = redis.call('TIME') return time[1] * 1000 + time[2] / 1000 end
local ends = now() + ARGV[1]
while now() < ends do end
"""
BUSY_SETTING = "lua-time-limit"
"""busy-reply-threshold by the name that servers before Redis 7 know, and all later ones still do."""

BUSY_AFTER_MS = 20
CLOCK_KEY = "chuk-test-ahead"
CLOCK_AHEAD = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + (tonumber(redis.call('GET', '{CLOCK_KEY}')) or 0)
"""
"""What a script reads the clock with where a fault moves it: so many ms ahead as the key says."""

AHEAD_MS = 300_000
IDLE_TIMEOUT_S = 60
LARGE_BYTES = 500_000
LARGE_READERS = 400
LOADING_KEYS = 4000
LOADING_US = "150"
"""How long a server takes over each command that it reads, besides."""


async def killed(stage: Stage, load: Load, seconds: float) -> None:
    """kill -9, and started again at once."""
    stage.server.kill()
    await asyncio.to_thread(stage.server.restart)


async def loads(stage: Stage, load: Load, seconds: float) -> None:
    """Killed, and started again with data that take a while to be read."""
    server = stage.server
    await asyncio.to_thread(_grow, server)
    server.kill()
    server.command += ["--key-load-delay", LOADING_US]
    await asyncio.to_thread(server.restart)


async def stands_still(stage: Stage, load: Load, seconds: float) -> None:
    """SIGSTOP for longer than a call may take, then SIGCONT."""
    stage.server.signal(signal.SIGSTOP)
    await asyncio.sleep(max(2.0, seconds / 2))
    stage.server.signal(signal.SIGCONT)


async def forgets_scripts(stage: Stage, load: Load, seconds: float) -> None:
    """SCRIPT FLUSH, fifty times a second."""
    await _again(stage.server, seconds, 0.02, "SCRIPT", "FLUSH")


async def throws_out(stage: Stage, load: Load, seconds: float) -> None:
    """CLIENT KILL of everybody, ten times a second."""
    await _again(stage.server, seconds, 0.1, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def pauses(stage: Stage, load: Load, seconds: float) -> None:
    """CLIENT PAUSE, of writes and of all calls in turn."""
    for mode in ("WRITE", "ALL"):
        await _command(stage.server, "CLIENT", "PAUSE", str(int(500 * seconds)), mode)
        await asyncio.sleep(seconds / 2 + 0.1)


async def is_full(stage: Stage, load: Load, seconds: float) -> None:
    """At maxmemory, and nothing may be evicted."""
    used = int((await asyncio.to_thread(stage.info, "memory"))["used_memory"])
    await _command(stage.server, "CONFIG", "SET", "maxmemory", str(used // 2))
    await asyncio.sleep(seconds)
    await _command(stage.server, "CONFIG", "SET", "maxmemory", "0")


async def evicts(stage: Stage, load: Load, seconds: float) -> None:
    """At maxmemory, and what has a time to live goes."""
    await _command(stage.server, "CONFIG", "SET", "maxmemory-policy", "volatile-random")
    ballast = [load.managers[0].allocate_session(custom_metadata={"ballast": "x" * 50}) for _ in range(3000)]
    await asyncio.gather(*ballast)
    used = int((await asyncio.to_thread(stage.info, "memory"))["used_memory"])
    await _command(stage.server, "CONFIG", "SET", "maxmemory", str(used - 800_000))
    await asyncio.to_thread(wait_for, lambda: int(stage.info("stats")["evicted_keys"]) >= 500, "eviction")
    await asyncio.sleep(seconds)
    await _command(stage.server, "CONFIG", "SET", "maxmemory", "0")


async def is_a_replica(stage: Stage, load: Load, seconds: float) -> None:
    """READONLY: made the replica of nobody, and a primary again."""
    await _command(stage.server, "REPLICAOF", "127.0.0.1", "1")
    await asyncio.sleep(min(seconds, 1.0))
    await _command(stage.server, "REPLICAOF", "NO", "ONE")


async def is_busy(stage: Stage, load: Load, seconds: float) -> None:
    """BUSY: scripts of somebody else hold it up half of the time."""
    await _command(stage.server, "CONFIG", "SET", BUSY_SETTING, str(BUSY_AFTER_MS))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await _command(stage.server, "EVAL", HOLD_UP, 0, 500)
        await asyncio.sleep(0.5)


async def stays_down(stage: Stage, load: Load, seconds: float) -> None:
    """Killed, and started again only when calls have long since stopped waiting for it."""
    stage.server.kill()
    await asyncio.sleep(max(4.0, seconds))
    await asyncio.to_thread(stage.server.restart)


async def large_replies(stage: Stage, load: Load, seconds: float) -> None:
    """A session of half a megabyte is read by hundreds of callers at once."""
    manager = load.managers[0]
    session_id = await manager.allocate_session(custom_metadata={"ballast": "x" * LARGE_BYTES})
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        reads = [manager.get_session_metadata(session_id) for _ in range(LARGE_READERS)]
        await asyncio.gather(*reads, return_exceptions=True)


async def clock_steps_back(stage: Stage, load: Load, seconds: float) -> None:
    """The server's clock is ahead of the time, idle sessions are swept as ended, and then the clock is put right.

    Those of them that validate again are revoked by user, and count as ended from then on.
    """
    manager = SessionManager("faults", load.managers[0].session_factory, idle_timeout_seconds=IDLE_TIMEOUT_S)
    owned = {f"idler{number}": await manager.allocate_session(user_id=f"idler{number}") for number in range(20)}
    await _command(stage.server, "SET", CLOCK_KEY, str(AHEAD_MS))
    await manager.cleanup_expired_sessions()
    await _command(stage.server, "SET", CLOCK_KEY, "0")
    for user, session_id in owned.items():
        await manager.validate_session(session_id)
        await manager.revoke_user_sessions(user)
    load.ledger.dead += owned.values()
    await asyncio.sleep(seconds / 2)


async def _again(server: Server, seconds: float, every: float, *words: str) -> None:
    end = time.monotonic() + seconds
    with server.client() as client:
        while time.monotonic() < end:
            await asyncio.to_thread(client.execute_command, *words)
            await asyncio.sleep(every)


async def _command(server: Server, *words: Any) -> Any:
    with server.client() as client:
        return await asyncio.to_thread(client.execute_command, *words)


def _grow(server: Server) -> None:
    with server.client() as client, client.pipeline(transaction=False) as pipeline:
        for number in range(LOADING_KEYS):
            pipeline.set(f"ballast{number}", "x")
        pipeline.execute()
