"""Twin of `lua/delete.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CONFLICT, CORRUPT, EXISTS, GONE, MOVED, OK
from ..keyspace import Keyspace, text
from .include import LastFields, Opened, emit_end, last_fields, open_, parse_int, unindex
from .include_grants import leave_pointer, open_for_grants
from .include_owners import compare_owner

_NO_CONDITIONS = (b"", b"", b"", b"", b"", 0, b"")


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Delete a session, even at full memory or with a record that cannot be read; or only the pointer of a
    rotated id.
    """
    key, deadlines, users, operations, events = keys
    handle, sandbox, letter, *conditions = argv
    owner, expected_version, pointer, expected_created, successor, grace, grants = conditions or _NO_CONDITIONS
    opened = open_(space, key, b"u", b"v", b"c")
    if pointer != b"":
        return _delete_pointer(space, key, opened, pointer)
    last: LastFields | None = None
    if isinstance(opened, tuple):
        _, deadline, *_, current_owner, version, created = opened
        if expected_created != b"" and (created is None or text(expected_created) != text(created)):
            return [GONE]
        if owner not in (b"", current_owner) and (current_owner is not None or space.zscore(users, handle) is None):
            difference = compare_owner(space, key, current_owner, owner, b"")
            if difference is not None:
                return difference
        is_other = expected_version != b"" and (version is None or text(expected_version) != text(version))
        if is_other or grants not in (b"", text(space.hash(key).get(b"p", b"0"))):
            return [CONFLICT, parse_int(version) or 0]
        field = space.hash(key).get
        if field(b"e") is not None:
            last = deadline, created, version, current_owner, field(b"s"), field(b"e"), None, None
    elif opened[0] == MOVED:
        return opened
    elif open_for_grants(space, key)[0] == MOVED:
        # Whoever has an old id cannot end the grants of the session that replaced it.
        return opened
    else:
        score = space.zscore(deadlines, handle)
        last = None if score is None or not score % 1 else last_fields(space, key, score)
    space.delete(key)
    space.delete(operations)
    if unindex(space, deadlines, users, handle) and last is not None and letter != b"":
        has_expired = isinstance(opened, list) and opened[0] == GONE
        emit_end(space, events, sandbox, handle, b"" if has_expired else letter, successor, last)
    if isinstance(opened, tuple) and successor != b"":
        leave_pointer(space, key, successor, opened[1], grace, parse_int(grants))
    return [OK if isinstance(opened, tuple) or opened[0] == CORRUPT else GONE]


def _delete_pointer(space: Keyspace, key: str, opened: Opened | Reply, target: bytes) -> Reply:
    if isinstance(opened, tuple):
        return [EXISTS]
    if opened == [MOVED, target]:
        space.delete(key)
        return [OK]
    return opened
