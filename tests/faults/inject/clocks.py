"""Two more hosts on the same store, with clocks two hours apart: on both, sessions expire by the server's clock."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chuk_sessions import SessionManager
from tests.faults.environments import Environment
from tests.faults.judge import Counts
from tests.faults.load.ledger import deadline_of
from tests.faults.load.load import Load

OFFSETS = (-3600.0, 3600.0)
SESSIONS = 10
EXPIRY_S = 1.0
_ROUNDING_S = 0.01
"""Tolerance: two clocks are compared, and the server's has a resolution of 1 ms."""
_NUMBERS = 100_000


async def run_hosts_with_wrong_clocks(environment: Environment, load: Load, seconds: float) -> None:
    """Run one host an hour slow and one an hour fast beside this correct one. Their counts are added to the load's."""
    hosts = [await _start_host(environment.direct, index, seconds) for index in range(len(OFFSETS))]
    expiries = await _expiring_sessions(load.managers[0])
    outputs = await asyncio.gather(*(_run_host(host, list(expiries)) for host in hosts))
    for output in outputs:
        load.others.append(_judge(output, list(expiries.values())))


async def _start_host(url: str, index: int, seconds: float) -> asyncio.subprocess.Process:
    words = [url, str(OFFSETS[index]), str(seconds), str((index + 1) * _NUMBERS)]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.inject.host", *words, stdin=pipe, stdout=pipe, cwd=Path(__file__).parents[3]
    )


async def _run_host(host: asyncio.subprocess.Process, session_ids: Sequence[str]) -> Any:
    output, _ = await host.communicate("\n".join(session_ids).encode())
    assert host.returncode == 0, "a host failed"
    return json.loads(output)


async def _expiring_sessions(manager: SessionManager) -> dict[str, float]:
    """Create sessions that expire soon. Return their ids, each with its deadline by `time.monotonic()`."""
    expiries: dict[str, float] = {}
    wall_clock_offset = time.time() - time.monotonic()
    for _ in range(SESSIONS):
        session_id = await manager.allocate_session(ttl_hours=(2 + EXPIRY_S) / 3600)
        found = await manager.get_session_metadata(session_id)
        assert found is not None
        expiries[session_id] = deadline_of(found) / 1000 - wall_clock_offset
    return expiries


def _judge(output: Any, expiries: Sequence[float]) -> Counts:
    counts = Counts(**output["counts"])
    for expiry, (last, first) in zip(expiries, output["expiries"], strict=True):
        counts.revived += last > expiry + _ROUNDING_S
        counts.lost += first < expiry - _ROUNDING_S
    return counts
