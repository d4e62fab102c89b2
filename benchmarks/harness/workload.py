"""What other clients are given to do: this library's scripts, with the KEYS and ARGV that it would send itself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from benchmarks.peers.scripted import FRESH
from benchmarks.peers.sessions import SHORT, TTL
from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import scripts
from chuk_sessions.core import codec, ids, keys, operations
from chuk_sessions.core.operation import Call
from chuk_sessions.providers import redis

SANDBOX = "scripted"
SESSIONS = 1000
USERS = 100
RETENTION_MS = 300_000
_USED_ONCE = ("allocate", "extend", "delete")


async def _pool(url: str) -> list[str]:
    async with SessionManager(SANDBOX, redis.factory(url)) as manager:
        made = (
            manager.allocate_session(user_id=f"user{n % USERS:06d}", custom_metadata=SHORT) for n in range(SESSIONS)
        )
        return await asyncio.gather(*made)


def write(url: str, path: Path) -> Path:
    """Make a pool of sessions on that server, and write the work on it to a file."""
    targets = [keys.session_keys(SANDBOX, session_id) for session_id in asyncio.run(_pool(url))]
    fresh = [keys.session_keys_for_handle(SANDBOX, bucket, FRESH.encode()) for bucket in range(ids.BUCKETS)]
    work = {
        "validate": [operations.validate(p, interval_ms=0, retention_ms=RETENTION_MS, index=False) for p in targets],
        "validate_interval": [
            operations.validate(p, interval_ms=60_000, retention_ms=RETENTION_MS, index=False) for p in targets
        ],
        "read": [operations.read(p) for p in targets],
        "merge": [operations.merge(p, pairs=codec.encode({"last_page": "/cart"}, 100)) for p in targets],
        "increment": [
            operations.increment(p, field=codec.field_of("hits"), amount=1, ceiling=None, operation_id=b"")
            for p in targets
        ],
        "allocate": [allocation(p, SANDBOX, f"user{n % USERS:06d}") for n, p in enumerate(fresh)],
        "extend": [
            operations.extend(p, additional_ms=1000, operation_id=operations.operation_id(), retention_ms=RETENTION_MS)
            for p in fresh
        ],
        "delete": [operations.delete(p) for p in fresh],
    }
    path.write_text(json.dumps({name: _entry(name, calls) for name, calls in work.items()}), encoding="utf-8")
    return path


def allocation(target: keys.SessionKeys, sandbox_id: str, user_id: str) -> Call:
    """A session with short values."""
    return operations.allocate(
        target,
        sandbox_id,
        ttl_ms=TTL * 1000,
        idle_ms=0,
        owner=user_id.encode(),
        user=ids.user_hash(user_id),
        cap=0,
        retention_ms=RETENTION_MS,
        create=True,
        pairs=codec.encode(SHORT, 1000),
    )


def _entry(name: str, calls: list[Call]) -> dict[str, Any]:
    script = scripts.scripts()[calls[0].operation.name]
    return {
        "script": script.text.decode(),
        "fresh": name in _USED_ONCE,
        "calls": [(list(call.keys), [_text(arg) for arg in call.argv]) for call in calls],
    }


def _text(arg: bytes | int) -> str:
    return arg.decode() if isinstance(arg, bytes) else str(arg)
