"""Sessions as commands read and print them: by reference, never by id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from .. import CorruptRecordError, KeyUnavailableError, ListedSession, SessionManager, session_hash

COLUMNS = ("reference", "user", "created_at", "expires_at", "keys")
BATCH = 64
"""Sessions that are read, or revoked, concurrently."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A live session whose record is damaged, or encrypted under a key that is not available."""

    reference: str
    reason: str


Found = ListedSession | Unreadable


async def find(manager: SessionManager, text: str) -> Found | None:
    """Return the live session that has this reference or this id, or None."""
    for reference in (text, session_hash(text)):
        found = await read(manager, reference)
        if found is not None:
            return found
    return None


async def read(manager: SessionManager, reference: str) -> Found | None:
    """Return the live session with this reference, or None."""
    try:
        return await manager.get_listed_session(reference)
    except (CorruptRecordError, KeyUnavailableError) as error:
        return Unreadable(reference, str(error))


async def read_all(manager: SessionManager, references: Sequence[str]) -> list[Found]:
    """Return the live sessions with these references, without those that have ended meanwhile."""
    found = await asyncio.gather(*[read(manager, reference) for reference in references])
    return [session for session in found if session is not None]


async def batches(references: AsyncIterator[str], size: int = BATCH) -> AsyncIterator[list[str]]:
    """Yield references in lists."""
    batch: list[str] = []
    async for reference in references:
        batch.append(reference)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def row(manager: SessionManager, session: Found) -> dict[str, Any]:
    """Return a session for tables and JSON. Values of metadata may be secrets, so only their keys appear."""
    shown = {"sandbox": manager.sandbox_id, "reference": session.reference}
    if isinstance(session, Unreadable):
        return {**shown, "unreadable": session.reason}
    return {
        **shown,
        "user": session.user_id,
        "created_at": session.created_at,
        "last_accessed": session.last_accessed,
        "expires_at": session.expires_at,
        "version": session.version,
        "keys": sorted(session.custom_metadata),
    }
