"""Local validation: a grant that counted a moment ago is not checked again, within a bound that the operator chooses.

It is off by default, because a grant then outlives its revocation by up to that bound. Events of the issuer's store cut
the time short for sessions that have ended.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import Final

from ..models import ResolvedGrant
from .tokens import Grant

MAX_GRANTS: Final = 10_000
MAX_ENDED: Final = 10_000


class LocalValidation:
    """The grants that counted when the store or issuer was asked last. For any number of event loops and threads."""

    def __init__(self, seconds: float, max_grants: int = MAX_GRANTS) -> None:
        self._seconds = seconds
        self._most = max_grants
        self._found: dict[Grant, tuple[ResolvedGrant, float]] = {}
        self._grants_of: dict[tuple[str, str], set[Grant]] = {}
        self._ended: dict[tuple[str, str], None] = {}
        self._changing = Lock()

    def get(self, grant: Grant) -> ResolvedGrant | None:
        """Return a grant that need not be checked, or None for one that must be."""
        found = self._found.get(grant)
        if found is None or found[1] <= time.monotonic() or grant.expires_at <= time.time():
            return None
        return found[0]

    def put(self, grant: Grant, resolved: ResolvedGrant, asked_at: float) -> None:
        """Remember a grant that counts, from the time at which the store was asked, by the monotonic clock.

        The event of an end may arrive before the store's reply. Such a session is not remembered.
        """
        session = grant.issuer, grant.session_hash
        with self._changing:
            if session in self._ended:
                return
            while len(self._found) >= self._most:
                self._remove(next(iter(self._found)))
            self._found[grant] = resolved, asked_at + self._seconds
            self._grants_of.setdefault(session, set()).add(grant)

    def forget(self, sandbox_id: str, session_hash: str) -> None:
        """Forget the grants of a session that has ended or got another id, and never remember them again."""
        session = sandbox_id, session_hash
        with self._changing:
            for grant in [*self._grants_of.get(session, ())]:
                self._remove(grant)
            self._ended[session] = None
            if len(self._ended) > MAX_ENDED:
                del self._ended[next(iter(self._ended))]

    def _remove(self, grant: Grant) -> None:
        del self._found[grant]
        session = grant.issuer, grant.session_hash
        self._grants_of[session].discard(grant)
        if not self._grants_of[session]:
            del self._grants_of[session]
