"""Two more hosts, whose clocks are two hours apart, on the same store: both see a session end when the server does."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from chuk_sessions import SessionManager
from tests.faults.environments import Stage
from tests.faults.judge import Counts
from tests.faults.load.load import Load

OFFSETS = (-3600.0, 3600.0)
SESSIONS = 10
ENDING_S = 1.0
_ROUNDING_S = 0.01
"""Clocks are compared, and the server's goes by the ms."""
_NUMBERS = 100_000


async def are_wrong(stage: Stage, load: Load, seconds: float) -> None:
    """One host an hour behind, one an hour ahead, and this one right. What they count goes to the load's counts."""
    hosts = [await _host(stage.direct, place, seconds) for place in range(len(OFFSETS))]
    ends = await _sessions_that_end(load.managers[0])
    told = await asyncio.gather(*(_tell(host, list(ends)) for host in hosts))
    for answer in told:
        load.others.append(_judged(answer, list(ends.values())))


async def _host(url: str, place: int, seconds: float) -> asyncio.subprocess.Process:
    words = [url, str(OFFSETS[place]), str(seconds), str((place + 1) * _NUMBERS)]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.inject.host", *words, stdin=pipe, stdout=pipe, cwd=Path(__file__).parents[3]
    )


async def _tell(host: asyncio.subprocess.Process, session_ids: Sequence[str]) -> Any:
    out, _ = await host.communicate("\n".join(session_ids).encode())
    assert host.returncode == 0, "a host has failed"
    return json.loads(out)


async def _sessions_that_end(manager: SessionManager) -> dict[str, float]:
    """Ids, each with the end of its session by `time.monotonic()`."""
    ends: dict[str, float] = {}
    ahead = time.time() - time.monotonic()
    for _ in range(SESSIONS):
        session_id = await manager.allocate_session(ttl_hours=(2 + ENDING_S) / 3600)
        found = await manager.get_session_metadata(session_id)
        assert found is not None
        assert found.expires_at is not None
        ends[session_id] = datetime.fromisoformat(found.expires_at.replace("Z", "+00:00")).timestamp() - ahead
    return ends


def _judged(told: Any, ends: Sequence[float]) -> Counts:
    counts = Counts(**told["counts"])
    for end, (last, first) in zip(ends, told["ends"], strict=True):
        counts.revived += last > end + _ROUNDING_S
        counts.lost += first < end - _ROUNDING_S
    return counts
