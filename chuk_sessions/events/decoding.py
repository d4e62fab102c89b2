"""Decoding of the entries of a stream into events."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Protocol

from ..core import event_entries
from ..core.event_entries import EventEntry
from ..core.values import ValueCodec, json_codec
from ..exceptions import SessionError
from .session_event import SessionEvent

logger = logging.getLogger("chuk_sessions.events")


class OwnerEncryption(Protocol):
    """The encryption of a deployment, as managers take it. Readers need it for owners only."""

    def codec(self, sandbox_id: str, /) -> ValueCodec:
        """Return the codec of a sandbox."""


class Decoder:
    """A decoder of the events that a reader wants.

    Attributes:
        values: returns the codec of a sandbox.

    """

    def __init__(self, sandbox_id: str | None, encryption: OwnerEncryption | None) -> None:
        self._wanted = sandbox_id
        self._has_keys = encryption is not None
        self.values = lru_cache(maxsize=256)(json_codec if encryption is None else encryption.codec)

    def event(self, bucket: int, stream_id: bytes, flat_fields: list[bytes]) -> SessionEvent | None:
        """Return an event; None for an event of another sandbox, and for an entry that no script has written."""
        try:
            entry = event_entries.parse(stream_id, flat_fields)
            return None if self._wanted not in (None, entry.sandbox) else self._event(bucket, entry)
        except ValueError:  # also of names and handles that no session has
            logger.warning("an entry in the events of bucket %d cannot be read, and is left out", bucket)
            return None

    def _event(self, bucket: int, entry: EventEntry) -> SessionEvent:
        owner, is_known = self._owner(entry)
        return SessionEvent(
            id=entry.event_id,
            type=f"session.{entry.kind}",
            reason=entry.reason,
            sandbox_id=entry.sandbox,
            session_hash=entry.session_hash(bucket),
            replaced_by=entry.replaced_by_hash(bucket),
            user_id=owner,
            owner_known=is_known,
            occurred_at=entry.occurred_at,
            expires_at=entry.expires_at,
            version=entry.version or None,
        )

    def _owner(self, entry: EventEntry) -> tuple[str | None, bool]:
        """Return the owner, and whether it is known."""
        if entry.salt is not None and entry.owner is not None and not self._has_keys:
            return None, False  # Only encrypted records have a salt.
        try:
            return self.values(entry.sandbox).decode_owner(entry.owner_fields()), entry.owner_is_known
        except SessionError:  # damaged, or encrypted under a key that this reader lacks
            return None, False
