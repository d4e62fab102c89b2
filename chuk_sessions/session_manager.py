"""SessionManager: what people call."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Self, cast
from weakref import finalize

from . import settings
from .backends.sharing import CLOSED, SessionFactory, backend_of, count_managers
from .core import codec, grid, ids, keys, notices, operations, statuses, validation
from .core.durations import ms_from_hours, ms_from_seconds
from .engine.executor import Executor
from .engine.policy import session_policy
from .engine.revocation import Revoker
from .engine.session_index import SessionIndex
from .engine.sessions import Engine
from .engine.sweeping import Sweeper
from .enums import ProviderType, WhenFull
from .exceptions import ManagerClosedError
from .models import Health, Increment, SessionMetadata
from .provider_factory import factory_for_env

MAX_METADATA_BYTES = 1_048_576


class SessionManager:
    """Sessions of one sandbox: their lifecycle, and grid paths for what belongs to them.

    Sandboxes do not see each other's sessions. Any number of managers, tasks, threads with event loops of their own,
    and processes may work on the same sessions. Making a manager opens no connection and needs no running event loop.

    A session id that comes from outside and is malformed is simply not a session. Malformed arguments from the
    developer are a ValueError. When the store fails, every method raises an error under ProviderError: False and None
    mean that the session is not there.
    """

    def __init__(
        self,
        sandbox_id: str | None = None,
        session_factory: SessionFactory | None = None,
        default_ttl_hours: float = 24,
        *,
        idle_timeout_seconds: float | None = None,
        touch_interval_seconds: float = 0,
        max_sessions_per_user: int | None = None,
        when_full: WhenFull | str = WhenFull.EVICT,
        retention_seconds: float = 300,
        max_metadata_bytes: int = MAX_METADATA_BYTES,
        max_session_bytes: int = operations.MAX_SESSION_BYTES,
    ) -> None:
        r"""Set up a manager; nothing is sent.

        Args:
            sandbox_id: name of the tenant or application, 1 to 128 visible ASCII characters without any of
                `{}/^*?[]\`. Without it: CHUK_SANDBOX_ID, then CHUK_HOST_SANDBOX_ID, then `sandbox-` and 8 hex digits.
            session_factory: of a provider; the environment's by default. A custom one has setex, get and delete.
            default_ttl_hours: hours until a session ends, where `allocate_session` is not told; fractions are fine.
            idle_timeout_seconds: end sessions of this manager that are not validated for so long, too.
            touch_interval_seconds: a validation within it of the last access writes nothing; shorter than the idle
                timeout. At most half of a session's idle timeout is used.
            max_sessions_per_user: most sessions that a user may have. Exact for ids made by the engine; ids chosen by
                the caller are not counted against each other, until they are rotated. Where a user has many more, as
                after the cap was lowered, each new session makes up to 32 of them give way.
            when_full: `"evict"`, the oldest session gives way, or `"refuse"`, a SessionLimitError.
            retention_seconds: how long the store keeps a record after its session has ended, unless a sweep removes it.
            max_metadata_bytes: most bytes of metadata, as JSON with its keys, that one call may send.
            max_session_bytes: most bytes of metadata, likewise, that a session may have; what would exceed it is a
                SessionTooLargeError.

        Raises:
            ValueError: an argument is malformed.
            ModuleNotFoundError: SESSION_PROVIDER names no provider.

        """
        env = settings.from_env()
        self._sandbox_id = ids.check_name(
            sandbox_id or env.sandbox_id or f"sandbox-{uuid.uuid4().hex[:8]}",
            "sandbox_id",
            validation.MAX_SANDBOX_LENGTH,
        )
        self._ttl_ms = ms_from_hours(default_ttl_hours, "default_ttl_hours")
        self._default_ttl_hours = default_ttl_hours
        self.session_factory = session_factory if session_factory is not None else factory_for_env()
        self._max_metadata_bytes = validation.positive(max_metadata_bytes, "max_metadata_bytes")
        policy = session_policy(
            idle_timeout_seconds,
            touch_interval_seconds,
            max_sessions_per_user,
            when_full,
            retention_seconds,
            max_session_bytes,
        )
        self._max_session_bytes = max_session_bytes
        self._backend = backend_of(self.session_factory)
        if not (sandbox_id or env.sandbox_id) and self._backend.name == ProviderType.REDIS:
            notices.random_sandbox(self._sandbox_id)
        executor = Executor(self._backend, self._sandbox_id)
        self._find = executor.find
        self._engine, self._session_index = Engine(executor, policy), SessionIndex(executor)
        self._revoker, self._sweeper = Revoker(executor), Sweeper(executor)
        count_managers(self._backend, 1)
        self._release = finalize(self, count_managers, self._backend, -1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close this manager; calling it again is fine. Connections that no other open manager shares are closed, on
        this event loop; those of another loop close when that loop shuts down.
        """
        self._engine = self._session_index = self._revoker = self._sweeper = cast(Any, CLOSED)
        if self._release() == 0:
            await self._backend.aclose()

    @property
    def sandbox_id(self) -> str:
        """The sandbox that this manager works in."""
        return self._sandbox_id

    @property
    def default_ttl_hours(self) -> float:
        """Hours until a session ends, where `allocate_session` is not told."""
        return self._default_ttl_hours

    # Lifecycle

    async def allocate_session(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        ttl_hours: float | None = None,
        custom_metadata: dict[str, Any] | None = None,
    ) -> str:
        """Make a session and return its id.

        With a `session_id` that is alive, that session is touched and stays as it is otherwise; with one that is not, a
        session of that id is made. Never pass an id that a client sent: check it with `validate_session`, and let
        this method choose ids.

        If the call is canceled and the id is not yours, the session that it may have made is deleted in the background.

        Raises:
            ValueError: an argument is malformed; InvalidMetadataError and MetadataTooLargeError are of this kind.
            SessionOwnerError: the session exists and is not `user_id`'s; see `rotate_session` for logins.
            SessionLimitError: the user has as many sessions as allowed, and `when_full` is `"refuse"`.
            SessionTooLargeError: the metadata is larger than a session may be.

        """
        if session_id is not None:
            ids.check_name(session_id, "session_id")
        owner = b"" if user_id is None else validation.owner(user_id)
        ttl_ms = self._ttl_ms if ttl_hours is None else ms_from_hours(ttl_hours, "ttl_hours")
        pairs = [] if custom_metadata is None else codec.encode(custom_metadata, self._max_metadata_bytes)
        validation.check_size(pairs, self._max_session_bytes)
        if session_id is None:
            return await self._engine.allocate(owner, user_id, ttl_ms, pairs)
        await self._engine.allocate_at(keys.session_keys(self._sandbox_id, session_id), owner, user_id, ttl_ms, pairs)
        return session_id

    async def validate_session(self, session_id: str) -> bool:
        """Whether the session is alive; marks the access (`last_accessed`), which moves an idle timeout but never the
        deadline. At the server's memory limit the mark is left out.
        """
        place = self._find(session_id)
        if place is None:
            return False
        engine = self._engine
        reply = await engine.ask_alive(place)
        return reply[0] == statuses.OK or await engine.is_alive(place, reply)

    async def get_session_info(self, session_id: str) -> dict[str, Any] | None:
        """The session as a dict that JSON can carry (`SessionMetadata.to_dict`), or None. Marks no access."""
        place = self._find(session_id)
        record = None if place is None else await self._engine.read(place)
        return record.to_dict(session_id, self._sandbox_id) if record else None

    async def get_session_metadata(self, session_id: str) -> SessionMetadata | None:
        """The session, or None. Marks no access."""
        place = self._find(session_id)
        record = None if place is None else await self._engine.read(place)
        return record.to_model(session_id, self.sandbox_id) if record else None

    async def update_session_metadata(
        self,
        session_id: str,
        custom_metadata: dict[str, Any],
        merge: bool = True,
        *,
        remove: Iterable[str] = (),
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> bool:
        """Change metadata in one atomic step. False when there is no such session.

        Args:
            session_id: of the session.
            custom_metadata: top-level keys to set.
            merge: keep the other keys; False puts `custom_metadata` in the place of all.
            remove: keys to remove; those that are not there are passed over.
            expected_version: change only what has this `SessionMetadata.version`.
            idempotency_key: apply once for this key and session, within ten minutes.

        Raises:
            ValueError: an argument is malformed, InvalidMetadataError and MetadataTooLargeError included.
            VersionConflictError: the version is another one; nothing was changed.
            SessionTooLargeError: the session would get larger than allowed; nothing was changed.
            OutcomeUnknownError: the reply was lost, and no idempotency key allowed a repeat.

        """
        pairs = codec.encode(custom_metadata, self._max_metadata_bytes)
        removals = validation.removals(remove)
        if expected_version is not None:
            validation.check_whole(expected_version, "expected_version")
        once = b"" if idempotency_key is None else operations.operation_id(idempotency_key, kind="merge")
        place = self._find(session_id)
        return place is not None and await self._engine.merge(
            place, pairs, removals, replace=not merge, version=expected_version, operation_id=once
        )

    async def increment_session_counter(
        self,
        session_id: str,
        key: str,
        amount: int = 1,
        *,
        ceiling: int | None = None,
        idempotency_key: str | None = None,
    ) -> Increment | None:
        """Add to a metadata value that is a whole number (a missing one is 0), unless that would pass the ceiling.

        The answer is truthy when the addition was applied: `if await manager.increment_session_counter(sid, "requests",
        ceiling=100)` is a rate limiter. None when there is no such session. With an `idempotency_key` that was used in
        the last ten minutes nothing is added, and the value is the present one.

        Raises:
            NotACounterError: the value is not a whole number within ±(2^53 − 1), or would leave that range.
            SessionTooLargeError: the session would get larger than allowed; nothing was added.
            ValueError: an argument is malformed.
            OutcomeUnknownError: the reply was lost, and no idempotency key allowed a repeat.

        """
        field = codec.field_of(key)
        validation.check_whole(amount, "amount")
        if ceiling is not None:
            validation.check_whole(ceiling, "ceiling")
        once = b"" if idempotency_key is None else operations.operation_id(idempotency_key, kind="increment")
        place = self._find(session_id)
        if place is None:
            return None
        answer = await self._engine.increment(place, field, amount, ceiling, once)
        return None if answer is None else Increment(*answer)

    async def extend_session_ttl(self, session_id: str, additional_hours: float) -> bool:
        """Move the deadline further away by hours (fractions are fine), exactly once even when replies get lost. False
        when there is no such session. Raises ValueError for hours that are not positive and finite.
        """
        additional_ms = ms_from_hours(additional_hours, "additional_hours")
        place = self._find(session_id)
        return place is not None and await self._engine.extend(place, additional_ms, operations.operation_id())

    async def delete_session(self, session_id: str) -> bool:
        """End a session everywhere, at once. True when there was one. A call that arrives late, as after a lost reply,
        spares a new session of the same id.
        """
        place = self._find(session_id)
        return place is not None and await self._engine.delete(place)

    async def rotate_session(
        self, session_id: str, *, user_id: str | None = None, grace_seconds: float = 0
    ) -> str | None:
        """Give a session a new id and return it; data and deadline stay. None when there is no such session.

        Without `user_id` the old id stays good for `grace_seconds`, for requests that are under way; whoever holds it
        does not learn the new one. With `user_id`, at login, the session becomes that user's and the old id ends at
        once.

        A canceled call leaves either the session under `session_id` or the one whose id it has returned, and no other,
        as long as the store can be reached. Otherwise at most one session stays that nobody knows: it is listed and
        ends at its deadline. The call therefore undoes or completes what it has begun, which takes at most as long as
        its calls to the store may take. Where it is too late to undo, it returns the id, and the cancellation follows
        at the caller's next await, unless it came from a timeout whose block has been left by then.

        Raises:
            ValueError: an argument is malformed, or a grace period was asked for at login.
            SessionRotatedError: `session_id` has been replaced already and is in its grace period.
            SessionLimitError: as for `allocate_session`.

        """
        grace_ms = 0 if grace_seconds == 0 else ms_from_seconds(grace_seconds, "grace_seconds")
        place = self._find(session_id)
        if user_id is None:
            return None if place is None else await self._engine.rotate(place, grace_ms)
        owner = validation.owner(user_id)
        if grace_ms:
            raise ValueError("at login the old id ends at once: grace_seconds must be 0")
        return None if place is None else await self._engine.log_in(place, user_id, owner)

    # Many sessions. Each asks 256 places at once, and is made for human speed.

    async def list_sessions(self, limit: int = 10_000) -> list[str]:
        """Ids of live sessions of this sandbox, at most `limit`, in no particular order. Raises NotSupportedError on a
        custom provider, like all that follows.
        """
        return await self._session_index.session_ids(validation.positive(limit, "limit"))

    def iter_sessions(self) -> AsyncGenerator[str, None]:
        """Iterate over the ids of all live sessions of this sandbox, in no particular order, with bounded memory.

        A session that is alive during the whole iteration is yielded at least once, and exactly once unless its end
        moves meanwhile (an access to an idle session, or an extension). A session that is created, rotated or ends
        meanwhile may be yielded or not.
        """
        return self._session_index.iter_ids()

    async def list_user_sessions(self, user_id: str) -> list[SessionMetadata]:
        """The live sessions of a user in this sandbox, oldest first. Records that cannot be read are left out, with a
        warning in the log.
        """
        validation.owner(user_id)
        return await self._session_index.sessions_of(user_id)

    def iter_user_sessions(self, user_id: str) -> AsyncGenerator[SessionMetadata, None]:
        """Iterate over the sessions that `list_user_sessions` returns, in no particular order, with bounded memory."""
        validation.owner(user_id)
        return self._session_index.iter_sessions_of(user_id)

    async def count_sessions(self, user_id: str | None = None) -> int:
        """How many live sessions this sandbox, or a user in it, has."""
        if user_id is not None:
            validation.owner(user_id)
        return await self._session_index.count(user_id)

    async def revoke_user_sessions(self, user_id: str, *, except_session_id: str | None = None) -> int:
        """End all sessions of a user in this sandbox, but one where that is named. Returns how many ended.

        The kept session may be rotated meanwhile, with a grace period; while a cap moves it to the user's home bucket
        it may end, too. An `except_session_id` that is no live session of the user keeps nothing: all end. Records that
        cannot be read are revoked, too.

        Raises:
            RevocationIncompleteError: parts of the store did not answer; all other sessions have ended.
            SessionConflictError: new sessions keep coming faster than they can be ended.

        """
        return await self._revoker.revoke(user_id, validation.owner(user_id), self._find(except_session_id))

    async def cleanup_expired_sessions(self, *, all_sandboxes: bool = False) -> int:
        """Remove ended sessions, of this sandbox or of all, and return how many there were. The store expires their
        records anyway; run this every few minutes somewhere so that nothing stays in the indexes.
        """
        return await (self._sweeper.sweep_everything() if all_sandboxes else self._sweeper.sweep())

    async def ping(self) -> Health:
        """Ask the store whether it answers, for a readiness probe: its latency, server, role and known problems.

        Raises an error under ProviderError when the store does not answer, within the time of a call. Problems are no
        errors: sessions can be used in spite of them. A user without `+info` and `+role` learns less.
        """
        if not self._release.alive:
            raise ManagerClosedError("this SessionManager was closed")
        return await self._backend.ping()

    def get_cache_stats(self) -> dict[str, Any]:
        """cached_sessions is always 0: no process keeps a copy, so that what is revoked is gone everywhere."""
        return {
            "cached_sessions": 0,
            "sandbox_id": self.sandbox_id,
            "default_ttl_hours": self.default_ttl_hours,
            "provider": self._backend.name,
        }

    # Grid paths

    def get_canonical_prefix(self, session_id: str) -> str:
        """`grid/SANDBOX/SESSION/`. Raises ValueError for what is no session id."""
        return grid.session_prefix(self.sandbox_id, session_id)

    def generate_artifact_key(self, session_id: str, artifact_id: str, subpath: str | None = None) -> str:
        """`grid/SANDBOX/SESSION/ARTIFACT`, and `/SUBPATH` behind it where given. Raises ValueError for parts that could
        climb or collide; see `grid.artifact_key`.
        """
        return grid.artifact_key(self.sandbox_id, session_id, artifact_id, subpath)

    def parse_grid_key(self, key: str) -> dict[str, str | None] | None:
        """sandbox_id, session_id, artifact_id and subpath of a path of any sandbox, or None for anything else."""
        return grid.parse(key)

    def get_session_prefix_pattern(self) -> str:
        """`grid/SANDBOX/`, under which all paths of this sandbox lie."""
        return grid.sandbox_prefix(self.sandbox_id)


__all__ = ["SessionManager", "SessionMetadata"]
