"""Twins of the shared steps in `lua/include/` that compare users and salts, and make room under a cap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....core import owners
from ....core.event_entries import EVICTED
from ....core.operation import Reply
from ....core.statuses import FULL, OTHER_ENCODING, OTHER_OWNER, OTHER_SALT
from ..keyspace import Keyspace, Value, text
from .include import Victim, remove_sessions

_KEYED = 0xFF
_MAX_EVICTIONS = 32


def compare_owner(space: Keyspace, key: str, stored: Value | None, owner: bytes, other: bytes) -> Reply | None:
    """Return None if a session belongs to a user, and otherwise OTHER_OWNER; or OTHER_ENCODING if the caller lacks the
    form in which the record has its owner.

    `stored` is the field `u`. `owner` and `other` are the caller's forms of the user; `other` may be empty.
    """
    keyed = space.hash(key).get(b"h")
    if stored is None and keyed is None:
        return [OTHER_OWNER]
    if same_owner(stored, keyed, owner) or same_owner(stored, keyed, other):
        return None
    forms = [form for form in (owner, other) if form != b""]
    return [OTHER_OWNER if any((form[0] == _KEYED) == (keyed is not None) for form in forms) else OTHER_ENCODING]


def same_owner(stored: Value | None, keyed: Value | None, form: bytes) -> bool:
    """Return whether an owner is the user of a form, which may be a keyed hash or the SHA-1 of a text.

    `stored` is the field `u`, and `keyed` the field `h`.
    """
    if keyed is not None or stored is None or form[:1] != owners.HASHED:
        found = stored if keyed is None else keyed
        return found is not None and text(found) == form
    return owners.hashed(text(stored)) == form


def other_salt(space: Keyspace, key: str, salt: bytes) -> Reply | None:
    """Return the reply to values that are encrypted under another salt than that of the record, or None."""
    stored = space.hash(key).get(b"s")
    return None if stored is None or text(stored) == salt else [OTHER_SALT, text(stored)]


def keeps_encrypted(space: Keyspace, key: str, written: Mapping[bytes, bytes]) -> bool:
    """Return whether a record would still have encrypted values after a change that removes its salt."""
    left = {field: value for field, value in space.hash(key).items() if field not in written}
    return (b"h" in left and b"u" not in written) or any(
        field.startswith(b"m:") and text(value).startswith(b"E") for field, value in left.items()
    )


def make_room(
    space: Keyspace, keys: Sequence[str], argv: Sequence[Any], owner: bytes, evicted: list[Victim]
) -> Reply | None:
    """Choose the sessions that the cap evicts, and add them to `evicted`; or return the reply FULL.

    `keys` and `argv` are those of an allocation.
    """
    _, deadlines, users, _, events = keys[:5]
    handle, user, cap = argv[0], *argv[4:6]
    other_owner, other_user, victims = argv[14:17] if argv[8] else (b"", 0, 0)
    scores = (user,) if other_owner == b"" else (user, other_user)
    live: list[Victim] = []
    surplus = sum(space.zcount(users, score, score) for score in scores) + 1 - cap
    if surplus > 0 and space.zscore(users, handle) in scores:
        surplus -= 1
    candidates = zip(argv[17 : 17 + victims], keys[5 : 5 + 2 * victims : 2], keys[6 : 5 + 2 * victims : 2], strict=True)
    for victim, record, operations in candidates:
        if victim == handle or space.zscore(users, victim) not in scores:
            continue
        score, found = space.zscore(deadlines, victim) or 0, space.hash(record)
        is_live, stored, keyed = score > space.now, found.get(b"u"), found.get(b"h")
        is_lost = stored is None and keyed is None
        if is_live and (is_lost or any(same_owner(stored, keyed, form) for form in (owner, other_owner))):
            live.append((victim, record, operations, score, EVICTED))
            continue
        surplus -= 1
        if not is_live:
            evicted.append((victim, record, operations, score, b""))
    evictions = max(0, min(surplus, _MAX_EVICTIONS))
    if len(live) < evictions:
        remove_sessions(space, evicted, deadlines, users, events, argv[1])
        limit = cap + _MAX_EVICTIONS
        return [FULL, [member for score in scores for member in space.zrangebyscore(users, score, score, limit)]]
    evicted.extend(live[:evictions])
    return None
