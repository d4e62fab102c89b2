"""An entry of the cache: a session that was read, or that is being read."""

from __future__ import annotations

import asyncio
import marshal
from collections.abc import Mapping
from math import inf
from types import MappingProxyType
from typing import Any, Final

from ..core.operation import Reply
from ..core.record import Record
from ..core.tracking import Source
from ..models import CachedSession, SessionMetadata

_IMMUTABLE: Final = (str, int, float, bool, type(None))
_new_model = object.__new__


class Entry:
    """A session that is being read (PENDING), was read and may answer calls (LIVE), or may no longer answer them
    (DEAD).

    It is PENDING while it has a list of waiters. Only the entry in the table of its view answers calls, and only before
    the times that it holds. Times are seconds of `boot_clock`. A session that the view does not have is DEAD.

    Attributes:
        session_id, record: the id, and the key of the record.
        source: the tracked connection on which the session was read.
        sent_at: when the read was sent.
        until: the time until which the session is alive and its entry is not too old; minus infinity unless LIVE.
        validate_until: the time until which the session is alive and need not be touched.
        accessed_at: when it was last accessed, or earlier.
        idle: the idle timeout in seconds, or infinity.
        server_now: when the server read it, in ms by its clock.
        hits: the number of calls that the entry has answered.
        hits_seen: the number of hits at the last eviction.
        waiters: the futures of callers that wait for the reply; None once it has arrived.
        reply: a reply without a session that could be kept, or the exception of a failed read; else None.
        info: what `SessionMetadata.to_dict` returns, except that callers need a copy.
        nested: the values in the metadata that are lists and dicts, to be copied for each caller.
        version: the version.
        adopted: whether the session has the id that another store gave it.
        frozen: the result of `cached_session`, once that was called.

    """

    __slots__ = (
        "accessed_at", "adopted", "frozen", "hits", "hits_seen", "idle", "info", "nested", "record", "reply", "sent_at",
        "server_now", "session_id", "source", "until", "validate_until", "version", "waiters",
    )  # fmt: skip

    def __init__(self, session_id: str, record: str, source: Source, sent_at: float) -> None:
        self.session_id = session_id
        self.record = record
        self.source = source
        self.sent_at = sent_at
        self.until = self.validate_until = self.accessed_at = -inf
        self.idle = inf
        self.server_now = self.version = self.hits = self.hits_seen = 0
        self.waiters: list[asyncio.Future[None]] | None = []
        self.reply: Reply | Exception | None = None
        self.info: dict[str, Any] = {}
        self.nested: bytes | None = None
        self.adopted = False
        self.frozen: CachedSession | None = None

    def fill(self, record: Record, server_now: int, sandbox_id: str) -> None:
        """Store the session from a reply. Raises CorruptRecordError and other errors of the value codec.

        The server read its clock after the read was sent, so times that count from the sending are never too late.
        """
        info = record.to_dict(self.session_id, sandbox_id)
        metadata = info["custom_metadata"]
        nested = {key: value for key, value in metadata.items() if type(value) not in _IMMUTABLE}
        self.nested = marshal.dumps(nested) if nested else None
        self.server_now, self.version = server_now, record.version
        self.accessed_at = self.sent_at + (record.accessed - server_now) / 1000
        self.idle = record.idle / 1000 if record.idle else inf
        self.info, self.adopted = info, record.adopted

    def open(self, record: Record, max_age: float, interval_ms: int) -> None:
        """Let the entry answer calls until the session expires or the entry is `max_age` seconds old."""
        left_ms = record.expiry - self.server_now
        due = self.touch_due(interval_ms / 1000) if interval_ms else -inf
        until = self.sent_at + min(max_age, left_ms / 1000)
        self.validate_until = min(until, due)
        self.until = until

    def close(self) -> None:
        """Let the entry answer no further calls."""
        self.until = self.validate_until = -inf

    def touch_due(self, interval: float) -> float:
        """Return the time from which on an access with this touch interval (seconds) touches the session."""
        return self.accessed_at + min(interval, self.idle / 2)

    def equals(self, other: Entry) -> bool:
        """Return whether both hold the same state of the session."""
        return self.version == other.version and self.info == other.info

    def to_dict(self) -> dict[str, Any]:
        """Return the session as `get_session_info` does."""
        info = self.info.copy()
        info["custom_metadata"] = metadata = info["custom_metadata"].copy()
        if self.nested is not None:
            metadata.update(marshal.loads(self.nested))
        return info

    def to_model(self) -> SessionMetadata:
        """Return the session as `get_session_metadata` does."""
        model: SessionMetadata = _new_model(SessionMetadata)
        fields = model.__dict__
        fields.update(self.info)
        fields["version"], fields["adopted"] = self.version, self.adopted
        fields["custom_metadata"] = metadata = fields["custom_metadata"].copy()
        if self.nested is not None:
            metadata.update(marshal.loads(self.nested))
        return model

    def to_frozen(self) -> CachedSession:
        """Return the session as `cached_session` does."""
        if self.frozen is None:
            self.frozen = frozen(self.info, self.version, self.adopted)
        return self.frozen


def frozen(info: Mapping[str, Any], version: int, adopted: bool) -> CachedSession:
    """Return a frozen session from what `SessionMetadata.to_dict` returns, and what that leaves out."""
    metadata = _frozen_value(info["custom_metadata"])
    return CachedSession(**{**info, "custom_metadata": metadata}, version=version, adopted=adopted)


def _frozen_value(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen_value(item) for key, item in value.items()})
    return tuple(map(_frozen_value, value)) if isinstance(value, list) else value
