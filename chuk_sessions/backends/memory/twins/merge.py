"""Twin of `lua/merge.lua`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....core.event_entries import EXTENDED, UPDATED
from ....core.operation import Reply
from ....core.statuses import APPLIED, CONFLICT, CORRUPT, MISMATCH, OK, TOO_FAR, TOO_LARGE
from ..keyspace import Fields, Keyspace, Value, pairs, text
from .include import (
    applied,
    bound_of,
    emit_change,
    expire_with_last,
    measure,
    move_deadline,
    open_,
    parse_int,
    remember,
)
from .include_owners import other_salt


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Change metadata: set fields, remove fields, or replace all fields; first compare values, and move the deadline on
    request.
    """
    key = keys[0]
    expected_version, replace, operation, window, limit, ttl, latest, *indexed, removals, expected = argv[:13]
    opened = open_(space, key, b"v", b"z", b"e")
    if isinstance(opened, list):
        return opened
    _, deadline, accessed, idle, version_field, bound_field, emits = opened
    version, bound = parse_int(version_field), bound_of(bound_field)
    if version is None:
        return [CORRUPT]
    if operation != b"" and applied(space, keys[1], operation):
        return [APPLIED]
    if expected_version not in (b"", version):
        return [CONFLICT, version]
    first_expected = 13 + removals
    first = first_expected + 2 * expected
    changes = argv[first:]
    salted = bool(changes) and changes[0] == b"s"
    if salted and (refusal := other_salt(space, key, changes[1])):
        return refusal
    different = _different(space.hash(key), argv[first_expected:first])
    if different:
        return [MISMATCH, different]
    if ttl != b"" and space.now + ttl > latest:
        return [TOO_FAR, deadline]
    new_fields = dict(pairs(changes))
    removed = _removed(space, key, argv[13:first_expected], replace, new_fields)
    measured = changes[2:] if salted else changes
    size = bound + sum(map(len, measured))
    if size > limit and (size := measure(space, key, bound, limit, measured, removed)) > limit:
        return [TOO_LARGE, size]
    fields: Fields = {b"v": version + 1, b"z": int(size), **new_fields}
    if emits is not None:
        _emit(space, keys, indexed, version + 1, deadline, ttl, emits)
    space.hset(key, fields)
    space.hdel(key, removed)
    if ttl != b"":
        _move_deadline(space, keys, indexed, version + 1, space.now + ttl, (accessed, idle), emits)
    _remember(space, keys, operation, window)
    return [OK]


def _remember(space: Keyspace, keys: Sequence[str], operation: bytes, window: int) -> None:
    if operation != b"":
        remember(space, keys[1], operation, window)
        expire_with_last(space, keys[1])


def _emit(
    space: Keyspace,
    keys: Sequence[str],
    indexed: Sequence[Any],
    version: int,
    deadline: int,
    ttl: Any,
    emits: Value,
) -> None:
    """Write the events of the change: that of the metadata, on request, and that of the deadline, if it moves."""
    handle, _, sandbox, updates = indexed
    if updates == 1:
        emit_change(space, keys[0], keys[4], sandbox, handle, UPDATED, version, deadline, emits)
    if ttl != b"":
        emit_change(space, keys[0], keys[4], sandbox, handle, EXTENDED, version, space.now + ttl, emits)


def _removed(
    space: Keyspace, key: str, removals: Sequence[bytes], replace: int, new_fields: Mapping[bytes, bytes]
) -> list[bytes]:
    old = [field for field in space.hkeys(key) if field.startswith(b"m:")] if replace == 1 else []
    return [field for field in dict.fromkeys((*removals, *old)) if field not in new_fields]


def _move_deadline(
    space: Keyspace,
    keys: Sequence[str],
    indexed: Sequence[Any],
    version: int,
    deadline: int,
    access: tuple[int, int | None],
    emits: Value | None,
) -> None:
    key, _, deadlines, sandboxes, _ = keys
    handle, retention, sandbox, _ = indexed
    move_deadline(space, key, deadlines, sandboxes, handle, sandbox, version, deadline, *access, retention, emits)


def _different(stored: Mapping[bytes, Value], expected: Sequence[bytes]) -> list[bytes]:
    """Return the fields that do not have the expected values."""
    return [field for field, value in pairs(expected) if text(stored.get(field, b"")) != value]
