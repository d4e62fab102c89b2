"""Events as readers receive them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """A change of a session, such as its creation, a new id, or its end.

    Attributes:
        id: the id of the event. A repeat has the same id, so that handlers can recognize it.
        type: `session.created`, `session.updated`, `session.extended`, `session.rotated`, `session.logged_in`, or
            `session.ended`.
        reason: the reason of `session.ended`: `deleted`, `revoked`, `expired`, `idle`, `evicted`, `replaced`, or
            `aborted`;
            otherwise None.
        sandbox_id: the sandbox of the session.
        session_hash: the `session_hash` of the session's id. Events contain no session ids.
        replaced_by: the hash of the id that replaced this one, at a rotation or login; otherwise None.
        user_id: the owner of the session; None for a guest, and if the owner is not known.
        owner_known: False if the owner is unknown, because the record was removed before the session was swept, or
            because the owner is encrypted and the reader lacks the key.
        occurred_at: when the change was made, in ms since 1970, by the clock of the store.
        expires_at: the deadline of the session in ms since 1970. For a session that has ended, it is the former
            deadline, until which a blocklist must keep its entry.
        version: the version of the session after the change. None if it is not known.

    """

    id: str
    type: str
    reason: str | None
    sandbox_id: str
    session_hash: str
    replaced_by: str | None
    user_id: str | None
    owner_known: bool
    occurred_at: int
    expires_at: int
    version: int | None
