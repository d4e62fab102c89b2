"""A stored session, parsed from the reply of a read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from ..enums import SessionStatus
from ..exceptions import CorruptRecordError
from ..models import ListedSession, SessionMetadata, iso_from_ms
from . import codec

_ACTIVE = SessionStatus.ACTIVE.value
_ORIGIN_FIELDS = frozenset({b"c", b"u", b"v"})


def fields_of(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the fields of a record, given as field, value, field, value..."""
    parts = iter(flat)
    return dict(zip(parts, parts, strict=True))


def is_owner(text: bytes) -> bool:
    """Return whether the value of an owner field can be decoded to a user id."""
    try:
        text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
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

    """

    created: int
    deadline: int
    accessed: int
    idle: int
    version: int
    user_id: str | None
    fields: dict[bytes, bytes]

    @classmethod
    def from_reply(cls, flat: Sequence[bytes]) -> Self:
        """Parse a record, given as field, value, field, value...

        Raises:
            CorruptRecordError: a required field is missing, or a field has an invalid value.

        """
        fields = fields_of(flat)
        try:
            owner = fields.get(b"u")
            return cls(
                int(fields[b"c"]),
                int(fields[b"d"]),
                int(fields[b"a"]),
                int(fields[b"i"]) if b"i" in fields else 0,
                int(fields[b"v"]),
                None if owner is None else owner.decode("utf-8", "surrogatepass"),
                fields,
            )
        except (KeyError, ValueError) as error:
            raise CorruptRecordError(
                "a stored session lacks a required field, or a field has an invalid value"
            ) from error

    @property
    def metadata_pairs(self) -> list[bytes]:
        """The metadata fields, as field, value, field, value... A copy for another owner gets only these."""
        return [part for pair in self.fields.items() if pair[0].startswith(codec.PREFIX) for part in pair]

    @property
    def copied_pairs(self) -> list[bytes]:
        """The fields that a copy for the same owner gets, as field, value, field, value...

        These are metadata, creation time, owner, and version. Times of expiry and the bound of the size are computed
        for the copy.
        """
        origin = [part for pair in self.fields.items() if pair[0] in _ORIGIN_FIELDS for part in pair]
        return origin + self.metadata_pairs

    def metadata(self) -> dict[str, Any]:
        """Return the metadata, decoded. Raises CorruptRecordError if that is impossible."""
        return codec.decode(self.fields.items())

    def to_model(self, session_id: str, sandbox_id: str) -> SessionMetadata:
        """Return the session as callers get it, under the id that the caller used."""
        return SessionMetadata(**self.to_dict(session_id, sandbox_id), version=self.version)

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
