"""The methods of SessionManager that work on many sessions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from ..core import keys, validation
from ..core.keys import SessionKeys
from ..core.values import ValueCodec
from ..models import ListedSession
from .revocation import Revoker
from .session_index import SessionIndex
from .sweeping import Sweeper


class ManySessions:
    """The sessions of a sandbox or user: listing, counting, revoking, and sweeping them.

    Methods for one user query the user's home bucket, and other buckets only if the user may have sessions there, under
    ids that callers chose. All other methods query all 256 buckets: call them for administration, not for each request.
    """

    _sandbox_id: str
    _find: Callable[[str | None], SessionKeys | None]
    _values: ValueCodec
    _session_index: SessionIndex
    _revoker: Revoker
    _sweeper: Sweeper

    async def list_sessions(self, limit: int = 10_000) -> list[str]:
        """Return the references of at most `limit` live sessions of this sandbox, in no particular order. Raises
        NotSupportedError on a custom provider, as do all methods below that list, count, or revoke by user.

        A reference identifies a session and does not grant access to it; see `session_hash` and `revoke_session`.
        """
        return await self._session_index.references(validation.positive(limit, "limit"))

    def iter_sessions(self) -> AsyncGenerator[str, None]:
        """Iterate over the references of all live sessions of this sandbox, in no particular order, in bounded memory.

        A session that is alive during the whole iteration is yielded at least once, and exactly once unless its
        expiry moves meanwhile (a touch that restarts the idle timeout, or an extension). A session that is created,
        rotated or deleted, or expires meanwhile may be yielded or not.
        """
        return self._session_index.iter_references()

    async def get_listed_session(self, reference: str) -> ListedSession | None:
        """Return the live session with this reference, as lists have it, or None. Does not touch it.

        During its grace period, the reference of an old id leads to the session that replaced it, under its present
        reference. An id is not a reference. Raises CorruptRecordError for a record that cannot be read.
        """
        target = keys.find_reference(self._sandbox_id, reference)
        return None if target is None else await self._session_index.session_at(target)

    async def list_user_sessions(self, user_id: str) -> list[ListedSession]:
        """Return the live sessions of a user in this sandbox, oldest first. Unreadable ones are logged and left out.

        Each session that is alive during the whole call is in the list, even if it is rotated meanwhile. Then it may be
        in the list twice, under both of its references.
        """
        validation.owner(user_id)
        return await self._session_index.sessions_of(user_id)

    def iter_user_sessions(self, user_id: str) -> AsyncGenerator[ListedSession, None]:
        """Iterate over the sessions that `list_user_sessions` returns, in no particular order. Keeps only references in
        memory.
        """
        validation.owner(user_id)
        return self._session_index.iter_sessions_of(user_id)

    async def count_sessions(self, user_id: str | None = None) -> int:
        """Return how many live sessions this sandbox, or a user in it, has. A user's session that is moved to the home
        bucket meanwhile may be counted twice.
        """
        if user_id is None:
            return await self._session_index.count()
        validation.owner(user_id)
        return await self._session_index.count_of(user_id)

    async def revoke_user_sessions(self, user_id: str, *, except_session_id: str | None = None) -> int:
        """Revoke all sessions of a user in this sandbox, except `except_session_id`. Returns how many were revoked.

        The kept session may be rotated meanwhile, with a grace period. While a cap moves it to the user's home bucket,
        it may be revoked, too. If `except_session_id` is not a live session of the user, all are revoked. Unreadable
        records are revoked, too.

        Raises:
            RevocationIncompleteError: parts of the store did not answer; the sessions in all others were revoked.
            SessionConflictError: new sessions of the user are created faster than they can be revoked.

        """
        owner = self._values.owner(validation.owner(user_id))
        return await self._revoker.revoke(user_id, owner, self._find(except_session_id))

    async def cleanup_expired_sessions(self, *, all_sandboxes: bool = False) -> int:
        """Remove expired sessions, of this sandbox or of all, and return how many there were. The store expires their
        records anyway; call this every few minutes in one process to remove their index entries, too.
        """
        return await (self._sweeper.sweep_everything() if all_sandboxes else self._sweeper.sweep())
