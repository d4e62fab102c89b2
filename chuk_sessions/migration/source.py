"""Sources of a migration: the stores that sessions come from, and a session as a source has it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class SourceSession:
    """A session of a source.

    Attributes:
        bucket, handle: of its id.
        sandbox_id: the sandbox in which the source has it.
        user_id: its user, or None.
        created, deadline, accessed: times in ms since 1970.
        idle: idle timeout in ms; 0 means none.
        version: a counter of changes; 1 if the source counts none.
        metadata: its metadata.
        fields: further fields of the record that a copy keeps, such as rate limits.
        origin: what the source needs to remove it.

    """

    bucket: int
    handle: bytes
    sandbox_id: str
    user_id: str | None
    created: int
    deadline: int
    accessed: int
    idle: int = 0
    version: int = 1
    metadata: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[bytes, bytes] = field(default_factory=dict)
    origin: Any = None

    @property
    def expiry(self) -> int:
        """When the session expires, ms: at its deadline or, if that is earlier, at the end of the idle timeout."""
        return min(self.deadline, self.accessed + self.idle) if self.idle else self.deadline

    @property
    def fingerprint(self) -> bytes:
        """A text that changes with everything but the last access and the version."""
        more = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.fields.items()}
        content = [self.user_id, self.created, self.deadline, self.idle, self.metadata, more]
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16].encode()


class Unreadable(NamedTuple):
    """A record of a source that is no session, or one that cannot be stored here.

    Attributes:
        name: its reference, or another text that reveals no id.
        reason: the reason, for people.

    """

    name: str
    reason: str


Found = SourceSession | Unreadable


class ReadsOne(Protocol):
    """A source in which one session can be looked up by its id."""

    def may_have(self, session_id: str) -> bool:
        """Return False if the source has never given out such an id."""

    async def read(self, sandbox_id: str, session_id: str) -> SourceSession | None:
        """Return the session, or None if there is none in that sandbox. Raises a subclass of ProviderError if the
        source does not answer.
        """

    async def remove_one(self, sandbox_id: str, session_id: str) -> bool:
        """Remove the session. Returns whether there was one in that sandbox."""


class Part(Protocol):
    """A part of a source, which is read in order.

    Attributes:
        name: identifies the part.
        layout: changes when sessions may have moved between parts.

    """

    name: str
    layout: str

    async def page(self, cursor: str) -> tuple[Sequence[Found], str]:
        """Return the next sessions, and the cursor after them; it is empty at the end, and before the first page."""


class ReadsAll(Protocol):
    """A source whose sessions can be listed."""

    async def parts(self) -> Sequence[Part]:
        """Return the parts."""

    async def remove(self, session: SourceSession) -> bool:
        """Remove a session, unless it has changed since it was read. Returns whether it was removed."""
