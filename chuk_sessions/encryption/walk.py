"""A walk over all sessions of a sandbox, bucket by bucket, as they are stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from itertools import islice

from ..core import ids, index_operations, keys, operations
from ..core import statuses as s
from ..core.index_operations import PAGE_LIMIT, Cursor
from ..core.keys import SessionKeys
from ..core.record import fields_of
from ..engine.executor import Executor

_CONCURRENT_READS = 64

Stored = tuple[SessionKeys, dict[bytes, bytes]]
"""The keys of a session, and the fields of its record; no fields for a record that cannot be read."""


async def stored_sessions(executor: Executor, bucket: int) -> AsyncGenerator[list[Stored], None]:
    """Yield the live sessions of a bucket in groups. A session that is rotated meanwhile may be left out."""
    index = keys.index(executor.sandbox_id, bucket)
    after: Cursor | None = index_operations.START
    while after is not None:
        call = index_operations.list_(index, user=None, limit=PAGE_LIMIT, after=after)
        reply = await executor.execute(call)
        handles = iter([handle for handle in reply[1] if ids.is_handle(handle)])
        while group := list(islice(handles, _CONCURRENT_READS)):
            yield await _read(executor, [keys.session_keys_for_entry(index, handle) for handle in group])
        after = index_operations.cursor(reply)


async def _read(executor: Executor, targets: list[SessionKeys]) -> list[Stored]:
    reads = [operations.read(target) for target in targets]
    replies = await executor.execute_all(reads, accepted=(s.CORRUPT,))
    found = zip(targets, replies, strict=True)
    return [
        (target, fields_of(reply[1]) if reply[0] == s.OK else {})
        for target, reply in found
        if reply[0] in (s.OK, s.CORRUPT)
    ]
