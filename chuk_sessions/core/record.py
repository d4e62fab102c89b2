"""A stored session as the engine sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from ..enums import SessionStatus
from ..exceptions import CorruptRecordError
from ..models import SessionMetadata, iso_from_ms
from . import codec

_ACTIVE = SessionStatus.ACTIVE.value
_OF_ORIGIN = frozenset({b"c", b"u", b"v"})


def fields_of(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the fields of a record from field, value, field, value..."""
    parts = iter(flat)
    return dict(zip(parts, parts, strict=True))


def is_owner(text: bytes) -> bool:
    """Return whether an owner field can be read as a user id."""
    try:
        text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


@dataclass(slots=True)
class Record:
    """The fields of a record; times in ms.

    Attributes:
        created, deadline, accessed, idle: times; idle is 0 where there is no idle timeout.
        version: counts the changes.
        user_id: the owner, or None.
        fields: every field as stored.

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
        """From field, value, field, value... Raises CorruptRecordError when a field that every record has is missing
        or no number.
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
            raise CorruptRecordError("a stored session lacks a field or holds nonsense in it") from error

    @property
    def kept(self) -> list[bytes]:
        """The fields that a copy for another owner keeps, as field, value...: metadata."""
        return [part for pair in self.fields.items() if pair[0].startswith(codec.PREFIX) for part in pair]

    @property
    def rest(self) -> list[bytes]:
        """The fields that a copy for the same owner keeps, as field, value...: metadata, creation, owner and version.
        The copy gets its own end and its own bound of the size.
        """
        origin = [part for pair in self.fields.items() if pair[0] in _OF_ORIGIN for part in pair]
        return origin + self.kept

    def metadata(self) -> dict[str, Any]:
        """The metadata, decoded."""
        return codec.decode(self.fields.items())

    def to_model(self, session_id: str, sandbox_id: str) -> SessionMetadata:
        """What callers get. `session_id` is the id that they asked for."""
        return SessionMetadata(**self.to_dict(session_id, sandbox_id), version=self.version)

    def to_dict(self, session_id: str, sandbox_id: str) -> dict[str, Any]:
        """The same as `SessionMetadata.to_dict()`, which would copy what nobody else has."""
        try:
            return {
                "session_id": session_id,
                "sandbox_id": sandbox_id,
                "user_id": self.user_id,
                "created_at": iso_from_ms(self.created),
                "expires_at": iso_from_ms(self.deadline),
                "status": _ACTIVE,
                "last_accessed": iso_from_ms(self.accessed),
                "custom_metadata": self.metadata(),
            }
        except OverflowError as error:
            raise CorruptRecordError("a stored session has a time outside of the calendar") from error
