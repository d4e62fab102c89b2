"""References, which lists have instead of session ids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from chuk_sessions import SessionManager, session_hash


def references(session_ids: Iterable[str | None]) -> list[str]:
    """Return the references of sessions. Raises ValueError for None."""
    return [session_hash(cast(str, session_id)) for session_id in session_ids]


async def listed(manager: SessionManager, user_id: str) -> list[str]:
    """Return the references of a user's sessions, oldest first."""
    return [session.reference for session in await manager.list_user_sessions(user_id)]
