"""A stored session, parsed from the reply of a read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

from ..enums import SessionStatus
from ..exceptions import CorruptRecordError, KeyUnavailableError
from ..models import ListedSession, SessionMetadata, iso_from_ms
from . import codec, rate_limits
from .values import SALT, ValueCodec, salt_of

_ACTIVE = SessionStatus.ACTIVE.value


class Copy(StrEnum):
    """The kinds of copies of a session."""

    MOVE = "move"
    """The same session in another bucket."""
    LOGIN = "login"
    """The session of a guest who logs in, or of its own user who logs in again: a new lifetime with the old data."""
    LOGIN_OF_ANOTHER_USER = "login of another user"
    """The session of a user other than the one who logs in: a new lifetime without the old data."""


class Field(NamedTuple):
    """A field of a record, or all fields whose names begin with two characters.

    Attributes:
        copies: the kinds of copies that get it as it is. The others compute it, set it, or lack it.
        reason: for that choice.

    """

    copies: frozenset[Copy]
    reason: str


_MOVE, _LOGIN, _ALL = frozenset({Copy.MOVE}), frozenset({Copy.MOVE, Copy.LOGIN}), frozenset(Copy)
_NONE: frozenset[Copy] = frozenset()

ADOPTED: Final = b"t"
"""The field of an adopted session: its deadline at the source, ms. A session under another id has none."""

FIELDS: Final = {
    b"c": Field(_MOVE, "a login starts a new lifetime"),
    b"d": Field(_NONE, "a move passes it on as the deadline, and a login starts a new lifetime"),
    b"a": Field(_NONE, "the copy is accessed now"),
    b"i": Field(_NONE, "a move passes it on as the idle timeout, and at login the manager's applies"),
    b"v": Field(_MOVE, "a login changes the deadline, so it increments the version"),
    b"u": Field(_NONE, "the new session is created for its owner"),
    b"z": Field(_NONE, "it is computed from the fields that are copied"),
    b"s": Field(_ALL, "encryption needs a salt in every session, and finds that of its metadata here"),
    b"e": Field(_MOVE, "the manager that handles the login sets it"),
    b"h": Field(_NONE, "the new session is created for its owner"),
    ADOPTED: Field(_NONE, "it marks an id that another store has given, and the copy has an id of its own"),
    b"x": Field(_LOGIN, "an extension must be applied once, and a retry of it may come after the copy"),
    b"y": Field(_LOGIN, "it says until when the operation id in x counts"),
    codec.PREFIX: Field(_LOGIN, "a user must not inherit what another user left in the session"),
    rate_limits.PREFIX: Field(_ALL, "a login must not reset a limit"),
    b"g:": Field(_MOVE, "a login ends the grants, which the session's former holder gave"),
    b"p": Field(_MOVE, "it changes with the grants, and says when the last one expires"),
}
"""Every field of a session, by its name or the first two characters of its name.

A new field needs a row: a copy gets no field without one.
"""

KEPT_AT_LOGIN: Final = (b"u", b"h", b"z", *[name for name, field in FIELDS.items() if Copy.LOGIN in field.copies])
"""The fields that a session keeps when its user logs in again and it stays in its bucket. Its owner stays, too, and the
bound of its size remains one.
"""


def fields_of(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the fields of a record, given as field, value, field, value..."""
    parts = iter(flat)
    return dict(zip(parts, parts, strict=True))


def has_readable_owner(fields: Mapping[bytes, bytes], values: ValueCodec) -> bool:
    """Return whether the owner in the fields of a record can be decoded, or is missing.

    An owner under a key that is not available here is not damaged.
    """
    with suppress(KeyUnavailableError):
        try:
            values.decode_owner(fields)
        except CorruptRecordError:
            return False
    return True


@dataclass(slots=True)
class Record:
    """The fields of a record.

    Attributes:
        created, deadline, accessed: times in ms since 1970.
        idle: the idle timeout in ms; 0 means none.
        version: a counter of the changes of metadata and deadline.
        user_id: the owner, or None.
        fields: all fields as stored.
        values: the codec of the metadata in `fields`.

    """

    created: int
    deadline: int
    accessed: int
    idle: int
    version: int
    user_id: str | None
    fields: dict[bytes, bytes]
    values: ValueCodec

    @classmethod
    def from_reply(cls, flat: Sequence[bytes], values: ValueCodec) -> Self:
        """Parse a record, given as field, value, field, value...

        Raises:
            CorruptRecordError: a required field is missing, or a field has an invalid value.

        """
        fields = fields_of(flat)
        try:
            return cls(
                int(fields[b"c"]),
                int(fields[b"d"]),
                int(fields[b"a"]),
                int(fields[b"i"]) if b"i" in fields else 0,
                int(fields[b"v"]),
                values.decode_owner(fields),
                fields,
                values,
            )
        except (KeyError, ValueError) as error:
            raise CorruptRecordError(
                "a stored session lacks a required field, or a field has an invalid value"
            ) from error

    @property
    def expiry(self) -> int:
        """When the session expires, ms: at its deadline or, if that is earlier, at the end of the idle timeout."""
        return min(self.deadline, self.accessed + self.idle) if self.idle else self.deadline

    @property
    def adopted(self) -> bool:
        """Whether the session has the id that another store gave it."""
        return ADOPTED in self.fields

    def copied_pairs(self, kind: Copy, owner: str | None) -> list[bytes]:
        """Return the fields that a copy of the session gets, as field, value, field, value...

        Those of its owner are included, except the identity. Values in an outdated encoding are encoded again.
        """
        kept = {name for name, field in FIELDS.items() if kind in field.copies}
        copied = {name: value for name, value in self.fields.items() if name[:2] in kept}
        if kind is not Copy.MOVE:
            copied[b"v"] = b"%d" % (self.version + 1)
        if salt := salt_of(self.values, self.fields):
            renewed = self.values.renew(copied, salt)
            copied |= {SALT: salt, **fields_of(renewed)}
        pairs = [part for pair in copied.items() for part in pair]
        return pairs if owner is None else pairs + self.values.owner_pairs(owner, salt)

    def metadata(self) -> dict[str, Any]:
        """Return the metadata, decoded. Raises CorruptRecordError if that is impossible."""
        return self.values.decode(self.fields)

    def to_model(self, session_id: str, sandbox_id: str) -> SessionMetadata:
        """Return the session as callers get it, under the id that the caller used."""
        found = self.to_dict(session_id, sandbox_id)
        return SessionMetadata(**found, version=self.version, adopted=self.adopted)

    def to_dict(self, session_id: str, sandbox_id: str) -> dict[str, Any]:
        """Return what `SessionMetadata.to_dict()` would return, without its copy of the metadata.

        Raises:
            CorruptRecordError: the metadata cannot be decoded, or a time is after the year 9999.

        """
        return {"session_id": session_id, "sandbox_id": sandbox_id, **self._shown(), "status": _ACTIVE}

    def to_listed(self, reference: str) -> ListedSession:
        """Return the session as lists have it. Raises CorruptRecordError like `to_dict`."""
        return ListedSession(reference, **self._shown(), version=self.version)

    def _shown(self) -> dict[str, Any]:
        try:
            return {
                "user_id": self.user_id,
                "created_at": iso_from_ms(self.created),
                "expires_at": iso_from_ms(self.deadline),
                "last_accessed": iso_from_ms(self.accessed),
                "custom_metadata": self.metadata(),
            }
        except OverflowError as error:
            raise CorruptRecordError("a stored session has a time after the year 9999") from error
