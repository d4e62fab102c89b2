"""Adoption: a session of another store is written here once, under its own id and with its own times.

An adoption leaves a marker next to the record, at least until the deadline at the source. The marker outlives the
session, however that ends: a session that was deleted, rotated, or evicted, or has expired, is not adopted again. A
marker can also be written alone, for an id that must not be adopted, or for all ids of a user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from . import ids, owners
from . import statuses as s
from .keys import SessionKeys, index, session_keys_for_entry
from .operation import Arg, Call, Operation, names
from .record import ADOPTED

IF_ABSENT: Final = b"adopt"
"""Write the session if there is none, and its id has no marker."""
IF_UNCHANGED: Final = b"refresh"
"""Like IF_ABSENT, but also write over a session that is as it was adopted, if the source has changed since."""
BLOCK: Final = b"block"
"""Write the marker, and nothing else."""

_OF_USER: Final = b"user^"
"""Begins the name of a marker for all ids of a user. No handle contains `^`."""

ADOPT = Operation(
    "adopt",
    names("session deadlines users sandboxes events marker"),
    names("handle sandbox mode deadline overlap fingerprint created accessed idle version user retention events rest"),
    s.ONE_SESSION | {s.OK, s.CREATED, s.EXISTS},
    retryable=True,
    durable=True,
)


@dataclass(frozen=True, slots=True)
class Adopted:
    """A session to adopt, as it is to be stored.

    Attributes:
        created, deadline, accessed: times in ms since 1970.
        idle: idle timeout in ms; 0 means none.
        version: at the source.
        owner: the identity of its user, see `owners`; empty for a guest.
        user: the hash of the user for the index.
        pairs: metadata and other fields, as field, value, field, value...
        fingerprint: changes whenever the source changes the session, other than by an access.

    """

    created: int
    deadline: int
    accessed: int
    idle: int
    version: int
    owner: bytes
    user: int
    pairs: Sequence[bytes]
    fingerprint: bytes


def adopt(
    target: SessionKeys,
    session: Adopted,
    *,
    mode: bytes = IF_ABSENT,
    overlap_ms: int,
    retention_ms: int,
    events: int = 0,
) -> Call:
    """Adopt a session, unless its id was adopted or blocked before. With `events`, it emits events.

    A new marker counts for at least `overlap_ms`, because processes that still use the source may extend the deadline
    there.
    """
    own: tuple[Arg, ...] = (owners.field_of(session.owner), session.owner) if session.owner else ()
    if session.idle:
        own += (b"i", session.idle)
    argv: tuple[Arg, ...] = (
        target.handle, target.index_keys.sandbox, mode, session.deadline, overlap_ms, session.fingerprint,
        session.created, session.accessed, session.idle, session.version, session.user, retention_ms, events,
        *own, b"a", session.accessed, b"z", sum(map(len, session.pairs)), *session.pairs,
    )  # fmt: skip
    return Call(ADOPT, _keys(target), argv)


def block(target: SessionKeys, *, deadline_ms: int = 0, overlap_ms: int) -> Call:
    """Keep an id from being adopted until the deadline at the source, and for at least `overlap_ms`."""
    argv = (target.handle, target.index_keys.sandbox, BLOCK, deadline_ms, overlap_ms)
    return Call(ADOPT, _keys(target), argv)


def of_user(sandbox_id: str, user_id: str, score: int) -> SessionKeys:
    """Return the keys of the marker for all ids of the user with this hash, in the user's home bucket."""
    home = index(sandbox_id, ids.home_bucket(sandbox_id, user_id))
    return session_keys_for_entry(home, _OF_USER + b"%d" % score)


def valid_until(marker: Mapping[bytes, bytes]) -> int:
    """Return until when a marker counts, ms; 0 if there is none."""
    return _ms(marker, b"d")


def blocked_at(marker: Mapping[bytes, bytes]) -> int:
    """Return when the id, or those of the user, were last blocked, ms; 0 if they never were."""
    return _ms(marker, b"b")


def was_decided(marker: Mapping[bytes, bytes]) -> bool:
    """Return whether an id was adopted or blocked. A marker may also just keep an id from being adopted."""
    return b"v" in marker or b"b" in marker


def is_copy_of(marker: Mapping[bytes, bytes], fingerprint: bytes) -> bool:
    """Return whether the source has not changed a session since it was adopted, other than by an access."""
    return marker.get(b"f") == fingerprint


def is_unchanged(marker: Mapping[bytes, bytes], record: Mapping[bytes, bytes]) -> bool:
    """Return whether a session was adopted and has not changed since, other than by an access."""
    return ADOPTED in record and record.get(b"v") == marker.get(b"v")


def _ms(marker: Mapping[bytes, bytes], field: bytes) -> int:
    digits = marker.get(field, b"")
    return int(digits) if digits.isdigit() else 0


def _keys(target: SessionKeys) -> tuple[str, ...]:
    own = target.index_keys
    return (target.record, own.deadlines, own.users, own.sandboxes, own.events, target.marker)
