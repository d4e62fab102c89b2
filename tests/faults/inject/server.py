"""Faults of one server. Each function returns when the fault is over, that is, when the server can reply again."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

from chuk_sessions import SessionManager
from tests.faults.environments import Environment
from tests.faults.load.load import Load
from tests.harness.farms import wait_for
from tests.harness.servers import Server
from tests.redis.tools import BUSY_AFTER_MS, BUSY_LOOP, BUSY_SETTING

CLOCK_KEY = "chuk-test-ahead"
FAST_CLOCK = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + (tonumber(redis.call('GET', '{CLOCK_KEY}')) or 0)
"""
"""An include for scripts whose clock is fast: by as many ms as the key says."""

AHEAD_MS = 300_000
IDLE_TIMEOUT_S = 60
LARGE_BYTES = 500_000
LARGE_READERS = 400
LOADING_KEYS = 4000
LOADING_US = "150"
"""Microseconds by which the server delays each key that it loads."""


async def kill(environment: Environment, load: Load, seconds: float) -> None:
    """Kill the server (kill -9), and restart it at once."""
    environment.server.kill()
    await asyncio.to_thread(environment.server.restart)


async def restart_with_data_to_load(environment: Environment, load: Load, seconds: float) -> None:
    """Kill the server, and restart it with data that it needs a while to load."""
    server = environment.server
    await asyncio.to_thread(_add_keys, server)
    server.kill()
    server.command += ["--key-load-delay", LOADING_US]
    await asyncio.to_thread(server.restart)


async def suspend(environment: Environment, load: Load, seconds: float) -> None:
    """Send SIGSTOP, wait for longer than a call may take, and send SIGCONT."""
    environment.server.signal(signal.SIGSTOP)
    await asyncio.sleep(max(2.0, seconds / 2))
    environment.server.signal(signal.SIGCONT)


async def flush_scripts(environment: Environment, load: Load, seconds: float) -> None:
    """Send SCRIPT FLUSH, 50 times a second."""
    await _repeat_command(environment.server, seconds, 0.02, "SCRIPT", "FLUSH")


async def kill_clients(environment: Environment, load: Load, seconds: float) -> None:
    """Kill all client connections, 10 times a second."""
    await _repeat_command(environment.server, seconds, 0.1, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def pause_clients(environment: Environment, load: Load, seconds: float) -> None:
    """Pause writes with CLIENT PAUSE, and then all calls."""
    for mode in ("WRITE", "ALL"):
        await _command(environment.server, "CLIENT", "PAUSE", str(int(500 * seconds)), mode)
        await asyncio.sleep(seconds / 2 + 0.1)


async def fill_memory(environment: Environment, load: Load, seconds: float) -> None:
    """Set maxmemory below the memory in use, under the noeviction policy."""
    used = int((await asyncio.to_thread(environment.info, "memory"))["used_memory"])
    await _command(environment.server, "CONFIG", "SET", "maxmemory", str(used // 2))
    await asyncio.sleep(seconds)
    await _command(environment.server, "CONFIG", "SET", "maxmemory", "0")


async def evict_keys(environment: Environment, load: Load, seconds: float) -> None:
    """Set maxmemory below the memory in use, under a policy that evicts keys with a time to live."""
    await _command(environment.server, "CONFIG", "SET", "maxmemory-policy", "volatile-random")
    ballast = [load.managers[0].allocate_session(custom_metadata={"ballast": "x" * 50}) for _ in range(3000)]
    await asyncio.gather(*ballast)
    used = int((await asyncio.to_thread(environment.info, "memory"))["used_memory"])
    await _command(environment.server, "CONFIG", "SET", "maxmemory", str(used - 800_000))
    await asyncio.to_thread(wait_for, lambda: int(environment.info("stats")["evicted_keys"]) >= 500, "eviction")
    await asyncio.sleep(seconds)
    await _command(environment.server, "CONFIG", "SET", "maxmemory", "0")


async def demote_and_promote(environment: Environment, load: Load, seconds: float) -> None:
    """Make the server a replica without a primary (READONLY), and then a primary again."""
    await _command(environment.server, "REPLICAOF", "127.0.0.1", "1")
    await asyncio.sleep(min(seconds, 1.0))
    await _command(environment.server, "REPLICAOF", "NO", "ONE")


async def run_busy_scripts(environment: Environment, load: Load, seconds: float) -> None:
    """Block the server half of the time with scripts of another client (BUSY)."""
    await _command(environment.server, "CONFIG", "SET", BUSY_SETTING, str(BUSY_AFTER_MS))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await _command(environment.server, "EVAL", BUSY_LOOP, 0, 500)
        await asyncio.sleep(0.5)


async def stay_down(environment: Environment, load: Load, seconds: float) -> None:
    """Kill the server, and restart it long after calls have stopped waiting for it."""
    environment.server.kill()
    await asyncio.sleep(max(4.0, seconds))
    await asyncio.to_thread(environment.server.restart)


async def read_large_sessions(environment: Environment, load: Load, seconds: float) -> None:
    """Read a session of half a megabyte with hundreds of concurrent calls."""
    manager = load.managers[0]
    session_id = await manager.allocate_session(custom_metadata={"ballast": "x" * LARGE_BYTES})
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        reads = [manager.get_session_metadata(session_id) for _ in range(LARGE_READERS)]
        await asyncio.gather(*reads, return_exceptions=True)


async def set_clock_back(environment: Environment, load: Load, seconds: float) -> None:
    """Run the server's clock fast, sweep idle sessions as expired, and then correct the clock.

    Sessions that validate again are revoked by user. From then on their ids must not validate.
    """
    manager = SessionManager("faults", load.managers[0].session_factory, idle_timeout_seconds=IDLE_TIMEOUT_S)
    sessions = {f"idle{number}": await manager.allocate_session(user_id=f"idle{number}") for number in range(20)}
    await _command(environment.server, "SET", CLOCK_KEY, str(AHEAD_MS))
    await manager.cleanup_expired_sessions()
    await _command(environment.server, "SET", CLOCK_KEY, "0")
    for user, session_id in sessions.items():
        await manager.validate_session(session_id)
        await manager.revoke_user_sessions(user)
    load.ledger.invalid_ids += sessions.values()
    await asyncio.sleep(seconds / 2)


async def _repeat_command(server: Server, seconds: float, every: float, *words: str) -> None:
    end = time.monotonic() + seconds
    with server.client() as client:
        while time.monotonic() < end:
            await asyncio.to_thread(client.execute_command, *words)
            await asyncio.sleep(every)


async def _command(server: Server, *words: Any) -> Any:
    with server.client() as client:
        return await asyncio.to_thread(client.execute_command, *words)


def _add_keys(server: Server) -> None:
    with server.client() as client, client.pipeline(transaction=False) as pipeline:
        for number in range(LOADING_KEYS):
            pipeline.set(f"ballast{number}", "x")
        pipeline.execute()
