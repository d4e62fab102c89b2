"""Entries of the stream of events: their format, their cap, and their parsing.

Scripts write an event in the step that changes the session, see `lua/include/emit.lua`. Each bucket has one stream,
`chuk1:{T}/events`, for all its sandboxes. An entry has these fields, in this order:

| field | value |
|---|---|
| the name of the sandbox | handle of the session |
| `k` | a letter for kind and reason, see `LETTERS`, and the version, and perhaps a space and a pointer |
| `c` | when the session was created, ms since 1970; empty if its record was gone |
| `d` | the deadline that it has or had, ms after its creation; with an empty `c`, when it expired, ms since 1970 |
| `u` | owner as stored; empty for a guest, or with an empty `c` |
| `s` | salt of the record; absent if it has none |

The pointer leads to the id that replaces the session: its handle, or its reference if it is in another bucket. The
event occurred at the time in the id of the entry, which the server's clock sets. Nearly all entries have the same field
names, which the server stores once for about 50 entries, so an entry takes 60 to 70 bytes.

**The cap.** The field `e` of a session that emits events has the most entries that the stream may have. Each `XADD`
drops the oldest ones above that. (`MAXLEN ~` lets up to 100 more stay.) `XINFO STREAM` counts `entries-added`, and
readers count the entries that they trim. Those that were added, are not in the stream, and were not trimmed were
dropped at the cap. Redis 6.2 does not count added entries. A reader still notices a loss there, if it trims only
entries before the last one that it has acknowledged: when that one is gone, the cap has dropped it, and perhaps others.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final, NamedTuple

from . import ids

CREATED: Final = b"c"
UPDATED: Final = b"u"
EXTENDED: Final = b"x"
ROTATED: Final = b"r"
LOGGED_IN: Final = b"l"
DELETED: Final = b"d"
REVOKED: Final = b"v"
EXPIRED: Final = b"t"
IDLE: Final = b"i"
EVICTED: Final = b"e"
REPLACED: Final = b"p"
ABORTED: Final = b"a"

LETTERS: Final[dict[bytes, tuple[str, str | None]]] = {
    CREATED: ("created", None),
    UPDATED: ("updated", None),
    EXTENDED: ("extended", None),
    ROTATED: ("rotated", None),
    LOGGED_IN: ("logged_in", None),
    DELETED: ("ended", "deleted"),
    REVOKED: ("ended", "revoked"),
    EXPIRED: ("ended", "expired"),
    IDLE: ("ended", "idle"),
    EVICTED: ("ended", "evicted"),
    REPLACED: ("ended", "replaced"),
    ABORTED: ("ended", "aborted"),
}
"""Kind and reason by the letter that stands for both in an entry."""

DEFAULT_CAP: Final = 10_000
"""Most entries of a stream, unless the manager has another setting. 256 full streams take about 180 MB."""


class EventEntry(NamedTuple):
    """An event as it is stored.

    Attributes:
        stream_id: id of the entry, `MS-NUMBER`.
        kind: "created", "updated", "extended", "rotated", "logged_in", or "ended".
        reason: of an end: "deleted", "revoked", "expired", "idle", "evicted", "replaced", or "aborted".
        sandbox: name of the sandbox.
        handle: of the session.
        replaced_by: a pointer to the id that replaces the session: a handle or a reference, see `keys.pointer_to`.
        owner: as stored; None for a guest, or if `created` is None.
        salt: salt of the record, or None.
        occurred_at: when the event was written, ms since 1970.
        expires_at: the deadline that the session has or had, ms since 1970.
        version: of the session, after the change; 0 if `created` is None.
        created: when the session was created, ms since 1970. None if its record was gone or damaged: then nothing is
            known but when it expired, or should have.

    """

    stream_id: bytes
    kind: str
    reason: str | None
    sandbox: str
    handle: bytes
    replaced_by: bytes | None
    owner: bytes | None
    salt: bytes | None
    occurred_at: int
    expires_at: int
    version: int
    created: int | None

    @property
    def event_id(self) -> str:
        """An id that a repeat of the event has, too, 22 characters: a hash of session, creation, kind, and version.

        After a failover that loses a change, the change may be repeated, and so is its event. A session ends once, so
        the version does not count for its end.
        """
        # Without a creation time, only the expiry tells two sessions of the same id apart.
        created = f"expired {self.expires_at}" if self.created is None else f"{self.created}"
        version = "" if self.kind == "ended" else self.version
        text = f"{self.sandbox}/{self.handle.decode('latin-1')}/{created}/{self.kind}/{version}"
        return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).decode().rstrip("=")

    @property
    def owner_is_known(self) -> bool:
        """Whether `owner` says who the owner is. The record of an expired session may be gone before it is swept."""
        return self.created is not None

    def owner_fields(self) -> dict[bytes, bytes]:
        """Return owner and salt as fields of a record, for `ValueCodec.decode_owner`."""
        fields = {b"u": self.owner, b"s": self.salt}
        return {name: value for name, value in fields.items() if value is not None}

    def session_hash(self, bucket: int) -> str:
        """Return the reference of the session. `bucket` is that of the stream."""
        return ids.reference(bucket, self.handle)

    def replaced_by_hash(self, bucket: int) -> str | None:
        """Return the reference of the id that replaces the session, or None. `bucket` is that of the stream."""
        pointer = self.replaced_by
        if pointer is None:
            return None
        return ids.reference(bucket, pointer) if ids.is_handle(pointer) else pointer.decode("latin-1")


def parse(stream_id: bytes, flat_fields: Sequence[bytes]) -> EventEntry:
    """Parse an entry, given as its id, and field, value, field, value...

    If the record was damaged, so are numbers in the entry. It then says that nothing is known.

    Raises:
        ValueError: no script writes such an entry.

    """
    try:
        sandbox, handle, _, described, _, created_text, _, deadline, _, owner, *salt = flat_fields
        kind, reason = LETTERS[described[:1]]
        occurred_at = int(stream_id.partition(b"-")[0])
        name = sandbox.decode()
    except (ValueError, KeyError) as error:
        raise ValueError("this is not an entry of a stream of session events") from error
    version, _, pointer = described[1:].partition(b" ")
    entry = EventEntry(
        stream_id, kind, reason, name, handle, pointer or None, None, None, occurred_at, occurred_at, 0, None
    )
    if not (_is_number(created_text) and _is_number(version) and _is_number(deadline.removeprefix(b"-"))):
        return entry._replace(expires_at=int(deadline)) if _is_number(deadline) and not created_text else entry
    created = int(created_text)
    return entry._replace(
        owner=owner or None,
        salt=salt[1] if len(salt) > 1 else None,
        expires_at=created + int(deadline),
        version=int(version),
        created=created,
    )


def _is_number(text: bytes) -> bool:
    return len(text) <= 15 and text.isdigit()
