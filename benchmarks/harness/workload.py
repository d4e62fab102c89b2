"""The work of other clients: this library's scripts, with the KEYS and ARGV that the library itself would send."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from benchmarks.peers.scripted import PLACEHOLDER
from benchmarks.peers.sessions import SHORT, TTL
from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import scripts
from chuk_sessions.core import codec, data_operations, ids, keys, operation_ids, operations
from chuk_sessions.core.operation import Call
from chuk_sessions.providers import redis

SANDBOX = "scripted"
SESSIONS = 1000
USERS = 100
RETENTION_MS = 300_000
_SINGLE_USE = ("allocate", "extend", "delete")
"""Operations that can run once per session: each call needs a session of its own."""


def write(url: str, path: Path) -> Path:
    """Create sessions on that server, and write the calls on them to a file. Returns the file's path."""
    targets = [keys.session_keys(SANDBOX, session_id) for session_id in asyncio.run(_create_sessions(url))]
    calls = {**_repeatable_calls(targets), **_single_use_calls()}
    path.write_text(json.dumps({name: _entry(name, of_name) for name, of_name in calls.items()}), encoding="utf-8")
    return path


async def _create_sessions(url: str) -> list[str]:
    users = (f"user{number % USERS:06d}" for number in range(SESSIONS))
    async with SessionManager(SANDBOX, redis.factory(url)) as manager:
        created = (manager.allocate_session(user_id=user, custom_metadata=SHORT) for user in users)
        return await asyncio.gather(*created)


def _repeatable_calls(targets: list[keys.SessionKeys]) -> dict[str, list[Call]]:
    pairs, hits = codec.encode({"last_page": "/cart"}, 100), codec.field_of("hits")
    return {
        "validate": [_validation(target, interval_ms=0) for target in targets],
        "validate_interval": [_validation(target, interval_ms=60_000) for target in targets],
        "read": [operations.read(target) for target in targets],
        "merge": [data_operations.merge(target, pairs=pairs) for target in targets],
        "increment": [
            data_operations.increment(target, field=hits, amount=1, ceiling=None, operation_id=b"")
            for target in targets
        ],
    }


def _single_use_calls() -> dict[str, list[Call]]:
    """Return one call per bucket and operation, with a placeholder for the session's handle."""
    handle = PLACEHOLDER.encode()
    targets = [keys.session_keys_for_handle(SANDBOX, bucket, handle) for bucket in range(ids.BUCKETS)]
    return {
        "allocate": [allocation(target, SANDBOX, f"user{n % USERS:06d}") for n, target in enumerate(targets)],
        "extend": [extension(target) for target in targets],
        "delete": [operations.delete(target) for target in targets],
    }


def _validation(target: keys.SessionKeys, interval_ms: int) -> Call:
    return operations.validate(target, interval_ms=interval_ms, retention_ms=RETENTION_MS, index=False)


def extension(target: keys.SessionKeys) -> Call:
    """Return the call that extends a session by one second."""
    operation_id = operation_ids.operation_id()
    return operations.extend(target, additional_ms=1000, operation_id=operation_id, retention_ms=RETENTION_MS)


def allocation(target: keys.SessionKeys, sandbox_id: str, user_id: str) -> Call:
    """Return the call that creates a session with short values."""
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
        reused=False,
    )


def _entry(name: str, calls: list[Call]) -> dict[str, Any]:
    script = scripts.scripts()[calls[0].operation.name]
    return {
        "script": script.text.decode(),
        "single_use": name in _SINGLE_USE,
        "calls": [(list(call.keys), [_text(arg) for arg in call.argv]) for call in calls],
    }


def _text(arg: bytes | int) -> str:
    return arg.decode() if isinstance(arg, bytes) else str(arg)
