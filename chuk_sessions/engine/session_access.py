"""The methods of SessionManager that a request of a session's user needs: loading it, its deadline, its rate limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.base import Backend
from ..core import operation_ids, operations, rate_limits
from ..core import statuses as s
from ..core.durations import ttl_from_hours
from ..core.keys import SessionKeys
from ..core.operation import Reply
from ..core.record import Record
from ..core.values import SALT
from ..exceptions import ManagerClosedError
from ..models import CachedSession, RateLimit, SessionMetadata
from . import results
from .executor import Execute, Submit
from .policy import SessionPolicy
from .salts import RecentSalts
from .sessions import Sessions

_FIGURES = ("cached_sessions", "hits", "misses", "joined", "invalidations", "flushes", "evictions")


class SessionAccess:
    """The accesses to a session: reading or loading it, setting its deadline, and limiting its requests."""

    _sandbox_id: str
    _default_ttl_hours: float
    _backend: Backend
    _find: Callable[[str | None], SessionKeys | None]
    _submit: Submit
    _execute: Execute
    _sessions: Sessions
    _policy: SessionPolicy
    _record: Callable[[Reply], Record | None]
    _salts: RecentSalts | None
    _cache: Any
    _release: Any

    async def get_session_info(self, session_id: str, *, fresh: bool = False) -> dict[str, Any] | None:
        """Return the session as a dict for JSON (`SessionMetadata.to_dict`), or None. Does not touch the session.

        A local cache may answer. With `fresh`, the store does.
        """
        target = self._find(session_id)
        record = None if target is None else await self._execute(target, operations.read(target), self._record)
        if self._salts and target and record:
            self._salts.note(target.record, record.fields.get(SALT))
        return record.to_dict(session_id, self._sandbox_id) if record else None

    async def get_session_metadata(self, session_id: str, *, fresh: bool = False) -> SessionMetadata | None:
        """Return the session, or None. Does not touch it. A local cache may answer. With `fresh`, the store does."""
        target = self._find(session_id)
        record = None if target is None else await self._execute(target, operations.read(target), self._record)
        if self._salts and target and record:
            self._salts.note(target.record, record.fields.get(SALT))
        return record.to_model(session_id, self._sandbox_id) if record else None

    async def load_session(self, session_id: str, *, fresh: bool = False) -> SessionMetadata | None:
        """Return the session, or None, and touch it: `validate_session` and `get_session_metadata` in one call.

        `last_accessed` in the result is the time of this access, unless it was within the touch interval or the server
        is at its memory limit. Within the touch interval, a local cache may answer. With `fresh`, the store does.
        """
        target = self._find(session_id)
        if target is None:
            return None
        policy = self._policy
        call = operations.load(target, policy.interval_ms, policy.retention_ms, policy.idle_ms > 0)
        reply = await self._submit(call)
        if reply[0] != s.OK:
            reply = await self._sessions.access(target, call, reply)
        record = self._record(reply)
        if self._salts and record:
            self._salts.note(target.record, record.fields.get(SALT))
        return record.to_model(session_id, self._sandbox_id) if record else None

    def cached_session(self, session_id: str) -> CachedSession | None:
        """Return the session if the local cache can answer, else None, which does not mean that there is no session.

        Nothing is sent, and the session is not touched. The result is shared and cannot be changed. On the emulator,
        each session is found.
        """
        if not self._release.alive:
            raise ManagerClosedError("this SessionManager was closed")
        found: CachedSession | None = None if self._cache is None else self._cache.cached_session(session_id)
        return found

    async def set_session_ttl(self, session_id: str, hours: float) -> bool:
        """Set the deadline to hours from now, which may be a fraction. It may be earlier than the present one, and
        `math.inf` stands for the latest possible one. Returns False when there is no such session.

        A change of the deadline changes the version. If a reply gets lost, the library sets the deadline again: it is
        then counted from the last attempt. Raises ValueError for hours that are not positive or more than a hundred
        years.
        """
        ttl_ms = ttl_from_hours(hours, "hours")
        target = self._find(session_id)
        if target is None:
            return False
        call = operations.set_ttl(
            target, ttl_ms=ttl_ms, retention_ms=self._policy.retention_ms, events=self._policy.events > 0
        )
        return await self._execute(target, call, results.is_ok)

    async def rate_limit_session(
        self,
        session_id: str,
        name: str,
        limit: int,
        per_seconds: float,
        *,
        burst: int | None = None,
        cost: int = 1,
        idempotency_key: str | None = None,
    ) -> RateLimit | None:
        """Count a request against a rate limit of the session, unless that would exceed the limit.

        The result is truthy when the request was allowed: `if await manager.rate_limit_session(sid, "api", 100, 60)`.
        Returns None when there is no such session. This is neither an access to the session nor a change of its
        version. A login keeps the limits.

        The algorithm is GCRA, the generic cell rate algorithm of ITU-T Recommendation I.371, and the result has the
        parts of redis-cell's reply. An idle limit allows a burst at once, and then one request in each
        `per_seconds / limit` seconds, so there are no windows around whose ends twice the limit would be allowed. It is
        exact for any number of concurrent callers, who should all pass the same numbers with a name. To change a limit,
        choose another name.

        Args:
            session_id: the session's id.
            name: name of the limit, 1 to 128 characters. Each name takes up to 145 bytes of `max_session_bytes`.
            limit: requests in each period.
            per_seconds: length of a period. `per_seconds / limit` should be at least 0.001 or a multiple of 0.00001.
            burst: most requests at once, by default `limit`.
            cost: number of requests that this one counts as.
            idempotency_key: count only the first of the calls for this session and name with this key within ten
                minutes. The others are allowed like the first one. A refused call is not counted and does not use up
                the key.

        Raises:
            ValueError: an argument is malformed, or the rate is too high to be represented within 1%.
            SessionTooLargeError: the session would exceed `max_session_bytes`; the request was not counted.
            OutcomeUnknownError: the reply was lost, and without an idempotency key the call was not retried.

        """
        field, rate = rate_limits.field_of(name), rate_limits.rate(limit, per_seconds, burst, cost)
        kind = f"rate_limit {name!r}"
        operation_id = b"" if idempotency_key is None else operation_ids.operation_id(idempotency_key, kind=kind)
        target = self._find(session_id)
        if target is None:
            return None
        call = rate_limits.rate_limit(
            target, field=field, rate=rate, operation_id=operation_id, limit=self._policy.session_bytes
        )
        return await self._execute(target, call, rate.result)

    def get_cache_stats(self) -> dict[str, Any]:
        """Return facts about this manager, and figures of its local cache.

        `cached_sessions` counts sessions in memory; `hits`, the calls answered from memory; `misses`, those that asked
        the store; and `joined`, those that shared the read of another call. `invalidations` counts sessions that were
        dropped because the server reported a change; `evictions`, those dropped because the cache was full; and
        `flushes`, how often all sessions of a connection were dropped. `tracking` says whether the cache is working
        now. `why_off` is the reason if it is not, or else None.
        """
        figures = None if self._cache is None else self._cache.stats()._asdict()
        return {
            **(figures or dict.fromkeys(_FIGURES, 0)),
            **({} if figures else {"tracking": False, "why_off": "the manager has no local_cache"}),
            "sandbox_id": self._sandbox_id,
            "default_ttl_hours": self._default_ttl_hours,
            "provider": self._backend.name,
        }
