"""The adopter: writes sessions of a source into one sandbox of the target, each once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from ..core import adoption, keys, operations, validation
from ..core import statuses as s
from ..core.adoption import IF_ABSENT, Adopted
from ..core.event_entries import REVOKED
from ..core.keys import SessionKeys
from ..core.operation import Reply
from ..core.owners import NOBODY
from ..core.record import Record, fields_of
from ..core.values import SALT, new_salt
from ..engine.executor import Executor
from ..engine.strays import StrayNotes
from .source import SourceSession

_MAX_NOTES: Final = 65_536
_NOTE_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings of the target.

    Attributes:
        max_metadata_bytes: most bytes of metadata in one session.
        retention_ms: how long records outlive their sessions.
        events: most events in the stream of a bucket; 0 if adopted sessions emit none.
        overlap_ms: how long a new marker counts at least.

    """

    max_metadata_bytes: int = 4_194_304
    retention_ms: int = 300_000
    events: int = 0
    overlap_ms: int = 0


class Adopter:
    """Writes sessions of a source into a sandbox.

    Attributes:
        sandbox_id: its name.

    """

    def __init__(self, executor: Executor, limits: Limits) -> None:
        self.sandbox_id = executor.sandbox_id
        self._executor = executor
        self._notes = StrayNotes(executor)
        self._noted: dict[tuple[str, int], float] = {}
        self._limits = limits

    def target(self, session: SourceSession) -> SessionKeys:
        """Return the keys that the session has here."""
        return keys.session_keys_for_handle(self._executor.sandbox_id, session.bucket, session.handle)

    async def adopt(self, session: SourceSession, mode: bytes = IF_ABSENT) -> int:
        """Write a session, unless its id was adopted before. Returns the status of the operation.

        A session of a user whose sessions were all revoked here since it was created is not adopted; the status is then
        GONE.

        Raises:
            ValueError: the session cannot be stored, because of its metadata or its user.

        """
        target, stored = self.target(session), self.stored(session)
        # A revocation may have spared it, so it may be alive here.
        if await self.is_revoked(session) and (await self.present(target))[0] is None:
            return s.GONE
        await self._note(session)
        call = adoption.adopt(
            target,
            stored,
            mode=mode,
            overlap_ms=self._limits.overlap_ms,
            retention_ms=self._limits.retention_ms,
            events=self._limits.events,
        )
        reply = await self._executor.execute_until_known(call)
        # A revocation may have begun since: either it finds the session in the index, or the marker is found here.
        if reply[0] == s.CREATED and await self.is_revoked(session):
            await self._executor.execute(operations.delete(target, REVOKED))
            return s.GONE
        status: int = reply[0]
        return status

    async def block(self, target: SessionKeys, overlap_ms: int | None = None) -> None:
        """Keep an id from being adopted; by default, for the overlap of the settings."""
        overlap = self._limits.overlap_ms if overlap_ms is None else overlap_ms
        await self._executor.execute_until_known(adoption.block(target, overlap_ms=overlap))

    async def block_user(self, user_id: str) -> None:
        """Keep all sessions of a user that exist now from being adopted."""
        for marker in self._markers_of(user_id):
            await self.block(marker)

    def stored(self, session: SourceSession) -> Adopted:
        """Return a session as it is to be stored. Raises ValueError if that is impossible."""
        values = self._executor.values
        salt = new_salt(values)
        pairs = values.encode(session.metadata, self._limits.max_metadata_bytes, salt)
        owner = NOBODY
        if session.user_id is not None:
            owner = values.owner(validation.owner(session.user_id))
            pairs = pairs + (values.owner_pairs(session.user_id, salt) if salt else [])
        pairs += [part for pair in session.fields.items() for part in pair]
        return Adopted(
            created=session.created,
            deadline=session.deadline,
            accessed=session.accessed,
            idle=session.idle,
            version=session.version,
            owner=owner.form.identity,
            user=owner.form.score,
            pairs=[SALT, salt, *pairs] if salt else pairs,
            fingerprint=session.fingerprint,
        )

    async def marker(self, target: SessionKeys) -> dict[bytes, bytes]:
        """Return the marker of an id; an empty one if there is none."""
        return fields_of((await self._executor.execute(operations.fetch_marker(target)))[1])

    async def present(self, target: SessionKeys) -> tuple[Record | None, Reply]:
        """Return the live session, or None, and the reply."""
        reply = await self._executor.submit(operations.read(target))
        return (Record.from_reply(reply[1], self._executor.values) if reply[0] == s.OK else None), reply

    async def is_revoked(self, session: SourceSession) -> bool:
        """Return whether all sessions of the user were revoked here since this one was created."""
        if session.user_id is None:
            return False
        found = [await self.marker(marker) for marker in self._markers_of(session.user_id)]
        return any(session.created <= adoption.blocked_at(marker) for marker in found)

    def _markers_of(self, user_id: str) -> list[SessionKeys]:
        """Return the keys of the markers for all ids of a user: one for each form of the user."""
        scores = {form.score for form in self._executor.values.owner(user_id).forms()}
        return [adoption.of_user(self._executor.sandbox_id, user_id, score) for score in sorted(scores)]

    async def _note(self, session: SourceSession) -> None:
        """Write the note about a stray, unless that was done a short time ago: it stays for an hour at least."""
        if session.user_id is None:
            return
        place, now = (session.user_id, session.bucket), time.monotonic()
        if self._noted.get(place, 0) > now:
            return
        await self._notes.note(*place)
        if len(self._noted) >= _MAX_NOTES:
            self._noted.clear()
        self._noted[place] = now + _NOTE_SECONDS
