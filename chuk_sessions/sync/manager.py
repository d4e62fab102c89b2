"""The synchronous SessionManager. `python -m tests.project.sync_code` has generated this file: do not edit it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

from ..enums import AllocateMode, WhenFull
from ..models import (
    CachedSession,
    Health,
    Increment,
    ListedGrant,
    ListedSession,
    RateLimit,
    ResolvedGrant,
    SessionCache,
    SessionFederation,
    SessionMetadata,
    SessionMigration,
    Transformed,
    ValueEncryption,
)
from ..session_manager import SessionManager as AsyncSessionManager
from .runner import Runner

SessionFactory = Callable[[], AbstractAsyncContextManager[Any]]


class SessionManager:
    """The sessions of one sandbox, for code without `await`: their lifecycle, and grid paths for their artifacts.

    Sandboxes do not see each other's sessions. Any number of managers, threads, and processes may work on the same
    sessions. Creating a manager opens no connection. The first call does, in a background thread, and all managers of a
    process share its connections.

    Methods treat a malformed session id like the id of no session, because ids come from clients. Other malformed
    arguments raise ValueError. Store failures raise a subclass of ProviderError, so False and None always mean that
    there is no such session. Calls raise RuntimeError in a thread that runs an event loop, because they would block it.

    If an exception such as KeyboardInterrupt interrupts a call, it propagates at once. The call is canceled in the
    background, but may have been applied.
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
        max_metadata_bytes: int = 1_048_576,
        max_session_bytes: int = 4_194_304,
        events: bool | str | None = None,
        max_events: int = 10_000,
        encryption: ValueEncryption | None = None,
        local_cache: SessionCache | None = None,
        federation: SessionFederation | None = None,
        migration: SessionMigration | None = None,
    ) -> None:
        r"""Create a manager; nothing is sent.

        Args:
            sandbox_id: name of the tenant or application, 1 to 128 visible ASCII characters without any of
                `{}/^*?[]\`. By default CHUK_SANDBOX_ID, then CHUK_HOST_SANDBOX_ID, then `sandbox-` and 8 hex digits.
            session_factory: from a provider, by default the environment's. A custom one needs setex, get and delete.
            default_ttl_hours: hours until a session expires, unless `allocate_session` gets its own; may be a fraction.
            idle_timeout_seconds: sessions of this manager also expire when they are not validated for this long.
            touch_interval_seconds: a validation this soon after the last access writes nothing. Must be shorter than
                the idle timeout; at most half of a session's idle timeout is used.
            max_sessions_per_user: most sessions that a user may have. It is exact for generated ids. Ids chosen by the
                caller do not count together until they are rotated. Where a user has many more sessions, for example
                after the cap was lowered, each new session evicts up to 32 of them.
            when_full: `"evict"` deletes the user's oldest session, `"refuse"` raises SessionLimitError.
            retention_seconds: how long the store keeps the record of an expired session, unless a sweep removes it.
            max_metadata_bytes: most bytes of metadata, keys and values as JSON, that one call may send.
            max_session_bytes: most such bytes that a session may have; beyond that, SessionTooLargeError is raised.
            events: whether the sessions that this manager creates emit events, for `SessionEvents` to read. With
                `"updates"`, changes of metadata by this manager are events, too. The default is SESSION_EVENTS (`0`,
                `1`, or `updates`), or else off.
            max_events: maximum number of events that each of the 256 buckets keeps until all readers have acknowledged
                them. Above that, the oldest ones are dropped and counted as lost.
            encryption: a `chuk_sessions.encryption.Encryption`, which encrypts metadata and owners in the store. The
                default is that of SESSION_ENCRYPTION_KEYS, or else none: they are then stored as plain text.
            local_cache: a LocalCache, which keeps sessions in memory and drops them when the server reports a change.
            federation: a `chuk_sessions.federation.Federation`, for grants to and from other sandboxes. The default is
                that of SESSION_FEDERATION_KEYS and SESSION_FEDERATION_TRUST, or else none.
            migration: a `chuk_sessions.migration.ReadThrough`, which adopts sessions from another store when they are
                used. The default is that of SESSION_MIGRATE_FROM, or else none.

        Raises:
            ValueError: an argument is malformed.
            NotSupportedError: events are on, and the provider is a custom one.
            ModuleNotFoundError: SESSION_PROVIDER is not the name of a provider.

        """
        self._manager = AsyncSessionManager(
            sandbox_id,
            session_factory,
            default_ttl_hours,
            idle_timeout_seconds=idle_timeout_seconds,
            touch_interval_seconds=touch_interval_seconds,
            max_sessions_per_user=max_sessions_per_user,
            when_full=when_full,
            retention_seconds=retention_seconds,
            max_metadata_bytes=max_metadata_bytes,
            max_session_bytes=max_session_bytes,
            events=events,
            max_events=max_events,
            encryption=encryption,
            local_cache=local_cache,
            federation=federation,
            migration=migration,
        )
        self._runner = Runner()
        for name, method in self._manager._methods_for_threads(self._runner.run).items():
            if getattr(type(self), name) is getattr(SessionManager, name):
                setattr(self, name, method)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close this manager; calling it again is harmless. Waits for the calls of other threads; later ones raise
        ManagerClosedError. This closes the background connections, unless another open manager shares them.
        """
        self._runner.close(self._manager.aclose)

    @property
    def session_factory(self) -> SessionFactory:
        """The factory of the provider."""
        return self._manager.session_factory

    @property
    def default_ttl_hours(self) -> float:
        """Hours until a session expires, unless `allocate_session` gets its own."""
        return self._manager.default_ttl_hours

    def allocate_session(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        ttl_hours: float | None = None,
        custom_metadata: dict[str, Any] | None = None,
        *,
        mode: AllocateMode | str = AllocateMode.TOUCH,
    ) -> str:
        """Create a session and return its id.

        If there is no live session with the given `session_id`, one with that id is created. Otherwise `mode` decides:
        `"touch"` touches the session and leaves everything else as it is, `"create"` raises SessionExistsError, and
        `"replace"` overwrites it, whoever it belongs to; only its `version` continues. Modes create and replace are
        applied exactly once, even if replies get lost. An old id in its grace period means the session that replaced
        it. Never pass an id that a client sent: check it with `validate_session`, and let this method choose ids. Do
        not create a session under a generated id that was deleted: a retry of that deletion may arrive late and delete
        the new session.

        `ttl_hours=math.inf` creates a session that expires only at the end of the year 9999, or when it is idle. None
        means `default_ttl_hours`.

        If an exception interrupts the call, and the call chose the id, the session that it may have created is deleted
        in the background.

        Raises:
            ValueError: an argument is malformed; InvalidMetadataError and MetadataTooLargeError are of this kind.
            SessionExistsError: the session exists, and the mode is `"create"`.
            SessionOwnerError: the session exists and belongs to another user, and the mode is `"touch"`; see
                `rotate_session` for logins.
            SessionLimitError: the user has as many sessions as allowed, and `when_full` is `"refuse"`.
            SessionTooLargeError: the metadata is larger than `max_session_bytes`.
            OutcomeUnknownError: a reply was lost, and the store did not answer the retries; only in mode `"create"` or
                with `wait_replicas`.

        """
        return self._runner.run(
            self._manager.allocate_session(session_id, user_id, ttl_hours, custom_metadata, mode=mode)
        )

    def validate_session(self, session_id: str, *, fresh: bool = False) -> bool:
        """Return whether the session is alive, and touch it: `last_accessed` and the idle timeout start again, the
        deadline does not move. At the server's memory limit the session is not touched. Within the touch interval, a
        local cache may answer. With `fresh`, the store does.
        """
        return self._runner.run(self._manager.validate_session(session_id, fresh=fresh))

    def extend_session_ttl(self, session_id: str, additional_hours: float) -> bool:
        """Move the deadline into the future by hours, which may be a fraction; exactly once even if replies get lost.
        Returns False when there is no such session.

        Raises:
            ValueError: the hours are not positive and finite, or the deadline would be after the year 9999.
            OutcomeUnknownError: a reply was lost, and the store did not answer the retries.

        """
        return self._runner.run(self._manager.extend_session_ttl(session_id, additional_hours))

    def delete_session(self, session_id: str) -> bool:
        """Delete a session, with immediate effect everywhere. Returns whether there was one. A retry that
        arrives late does not delete a new session with that id.
        """
        return self._runner.run(self._manager.delete_session(session_id))

    def revoke_session(self, reference: str, *, user_id: str | None = None) -> bool:
        """Delete the session with this reference, as lists and `session_hash` return it; False if there is none.

        A reference from a client, for example from a page with the user's devices, needs `user_id`: then a session of
        another user counts as none. During its grace period, the reference of an old id deletes the session, too; after
        that a rotated session has only its new reference. An id is not a reference, and never deletes anything here.

        Raises:
            ValueError: `user_id` is malformed.
            CorruptRecordError: with `user_id`, the record cannot be read, so its owner is unknown; nothing was deleted.

        """
        return self._runner.run(self._manager.revoke_session(reference, user_id=user_id))

    def rotate_session(
        self, session_id: str, *, user_id: str | None = None, ttl_hours: float | None = None, grace_seconds: float = 0
    ) -> str | None:
        """Give a session a new id and return it. Returns None when there is no such session.

        Without `user_id`, everything else stays, and the old id remains valid for `grace_seconds`, for concurrent
        requests; its holders do not learn the new one.

        With `user_id`, at login, the session then belongs to that user, and the old id is invalid immediately, which
        prevents session fixation. A new lifetime starts, also if the user logs in again: with the deadline in
        `ttl_hours` from now, by default the manager's, and with the manager's idle timeout. Metadata stays, unless the
        session belonged to another user, who may have left a cart in it. Rate limits always stay; requests to them
        during the login may go uncounted.

        If an exception interrupts the call, the rotation is undone in the background. If that is too late, or the store
        cannot be reached, the session may have an id that no caller knows: it is listed and expires at its deadline.

        Raises:
            ValueError: an argument is malformed, a login has a grace period, or `ttl_hours` is given without a login.
            SessionRotatedError: `session_id` has been replaced already and is in its grace period.
            OutcomeUnknownError: a reply was lost or, with NotReplicatedError, too few replicas have acknowledged the
                change. If the session has a new id, the error's `session_id` is that id; otherwise it is None, and the
                session is under `session_id`. If the store cannot be reached to find out, the error has the new id, and
                the session is under one of the two, or under both if it was being copied to another user's bucket.
            SessionLimitError: the user has as many sessions as allowed, and `when_full` is `"refuse"`.

        """
        return self._runner.run(
            self._manager.rotate_session(session_id, user_id=user_id, ttl_hours=ttl_hours, grace_seconds=grace_seconds)
        )

    def ping(self) -> Health:
        """Check the store for a readiness probe: its latency, server, role and known problems.

        Raises a subclass of ProviderError when the store does not answer within the time of a call. Problems raise no
        error, because sessions can be used in spite of them. A Redis user without `+info` and `+role` gets less detail.
        """
        return self._runner.run(self._manager.ping())

    @property
    def sandbox_id(self) -> str:
        """The sandbox that this manager works in."""
        return self._manager.sandbox_id

    def get_canonical_prefix(self, session_id: str, *, by_reference: bool = False) -> str:
        """Return `grid/SANDBOX/SESSION/`; with `by_reference`, SESSION is the session's reference instead of its id.

        Raises ValueError for a malformed session id.
        """
        return self._manager.get_canonical_prefix(session_id, by_reference=by_reference)

    def generate_artifact_key(
        self, session_id: str, artifact_id: str, subpath: str | None = None, *, by_reference: bool = False
    ) -> str:
        """Return `grid/SANDBOX/SESSION/ARTIFACT`, followed by `/SUBPATH` if there is one.

        SESSION is the session id, so whoever can list the artifacts learns ids, and can use the sessions. In a store
        that others can read, pass `by_reference=True`: SESSION is then the session's reference. A rotation gives a
        session a new id and thereby a new reference, so later paths differ from earlier ones in either case.

        Raises ValueError for parts that could leave the session's directory or be ambiguous; see `artifact_key`.
        """
        return self._manager.generate_artifact_key(session_id, artifact_id, subpath, by_reference=by_reference)

    def parse_grid_key(self, key: str) -> dict[str, str | None] | None:
        """Return sandbox_id, session_id, artifact_id and subpath of a path of any sandbox; None for any other text.

        The parts are those that the path holds: in a path with a reference, `session_id` is that reference.
        """
        return self._manager.parse_grid_key(key)

    def get_session_prefix_pattern(self) -> str:
        """Return `grid/SANDBOX/`, the prefix of all paths of this sandbox."""
        return self._manager.get_session_prefix_pattern()

    def get_session_info(self, session_id: str, *, fresh: bool = False) -> dict[str, Any] | None:
        """Return the session as a dict for JSON (`SessionMetadata.to_dict`), or None. Does not touch the session.

        A local cache may answer. With `fresh`, the store does.
        """
        return self._runner.run(self._manager.get_session_info(session_id, fresh=fresh))

    def get_session_metadata(self, session_id: str, *, fresh: bool = False) -> SessionMetadata | None:
        """Return the session, or None. Does not touch it. A local cache may answer. With `fresh`, the store does."""
        return self._runner.run(self._manager.get_session_metadata(session_id, fresh=fresh))

    def load_session(self, session_id: str, *, fresh: bool = False) -> SessionMetadata | None:
        """Return the session, or None, and touch it: `validate_session` and `get_session_metadata` in one call.

        `last_accessed` in the result is the time of this access, unless it was within the touch interval or the server
        is at its memory limit. Within the touch interval, a local cache may answer. With `fresh`, the store does.
        """
        return self._runner.run(self._manager.load_session(session_id, fresh=fresh))

    def cached_session(self, session_id: str) -> CachedSession | None:
        """Return the session if the local cache can answer, else None, which does not mean that there is no session.

        Nothing is sent, and the session is not touched. The result is shared and cannot be changed. On the emulator,
        each session is found.
        """
        return self._manager.cached_session(session_id)

    def set_session_ttl(self, session_id: str, hours: float) -> bool:
        """Set the deadline to hours from now, which may be a fraction. It may be earlier than the present one, and
        `math.inf` stands for the latest possible one. Returns False when there is no such session.

        A change of the deadline changes the version. If a reply gets lost, the library sets the deadline again: it is
        then counted from the last attempt. Raises ValueError for hours that are not positive or more than a hundred
        years.
        """
        return self._runner.run(self._manager.set_session_ttl(session_id, hours))

    def rate_limit_session(
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

        The result is truthy when the request was allowed: `if manager.rate_limit_session(sid, "api", 100, 60)`.
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
        return self._runner.run(
            self._manager.rate_limit_session(
                session_id, name, limit, per_seconds, burst=burst, cost=cost, idempotency_key=idempotency_key
            )
        )

    def get_cache_stats(self) -> dict[str, Any]:
        """Return facts about this manager, and figures of its local cache.

        `cached_sessions` counts sessions in memory; `hits`, the calls answered from memory; `misses`, those that asked
        the store; and `joined`, those that shared the read of another call. `invalidations` counts sessions that were
        dropped because the server reported a change; `evictions`, those dropped because the cache was full; and
        `flushes`, how often all sessions of a connection were dropped. `tracking` says whether the cache is working
        now. `why_off` is the reason if it is not, or else None.
        """
        return self._manager.get_cache_stats()

    def update_session_metadata(
        self,
        session_id: str,
        custom_metadata: dict[str, Any],
        merge: bool = True,
        *,
        remove: Iterable[str] = (),
        expected_version: int | None = None,
        expected: Mapping[str, Any] | None = None,
        ttl_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> bool:
        """Change metadata in one atomic step. Returns False when there is no such session.

        Args:
            session_id: the session's id.
            custom_metadata: top-level keys to set.
            merge: keep the other keys; False replaces all metadata by `custom_metadata`.
            remove: keys to remove; missing ones are ignored.
            expected_version: the required `SessionMetadata.version`, for optimistic concurrency control.
            expected: values that keys must have, or ABSENT for keys that must not exist. Their JSON texts are compared,
                so the order of the keys in a dict matters.
            ttl_seconds: seconds from now until the new deadline of the session, which may be earlier than the present
                one; by default the deadline stays.
            idempotency_key: apply only the first of the calls for this session with this key within ten minutes.

        Raises:
            ValueError: an argument is malformed, InvalidMetadataError and MetadataTooLargeError included.
            VersionConflictError: the session has another version; nothing was changed.
            MetadataConflictError: keys have other values than `expected`; nothing was changed.
            SessionTooLargeError: the session would exceed `max_session_bytes`; nothing was changed.
            OutcomeUnknownError: the reply was lost, and without an idempotency key the call was not retried.

        """
        return self._runner.run(
            self._manager.update_session_metadata(
                session_id,
                custom_metadata,
                merge,
                remove=remove,
                expected_version=expected_version,
                expected=expected,
                ttl_seconds=ttl_seconds,
                idempotency_key=idempotency_key,
            )
        )

    def increment_session_counter(
        self,
        session_id: str,
        key: str,
        amount: int = 1,
        *,
        ceiling: int | None = None,
        idempotency_key: str | None = None,
    ) -> Increment | None:
        """Add to a metadata value that is a whole number, unless the result is above the ceiling; a missing one is 0.

        The result is truthy when the addition was applied: `if manager.increment_session_counter(sid, "requests",
        ceiling=100)` is a quota for the session's lifetime, and `rate_limit_session` limits requests over time. Returns
        None when there is no such session. With an `idempotency_key` that was used in the last ten minutes nothing is
        added, and the result has the current value.

        Raises:
            NotACounterError: the value is not a whole number within ±(2^53 − 1), or would leave that range.
            SessionTooLargeError: the session would exceed `max_session_bytes`; nothing was added.
            ValueError: an argument is malformed.
            OutcomeUnknownError: the reply was lost, and without an idempotency key the call was not retried.

        """
        return self._runner.run(
            self._manager.increment_session_counter(
                session_id, key, amount, ceiling=ceiling, idempotency_key=idempotency_key
            )
        )

    def append_session_metadata(
        self, session_id: str, key: str, *items: Any, max_bytes: int | None = None, idempotency_key: str | None = None
    ) -> int | None:
        """Append to a metadata value that is a list, in one atomic step; a missing one is an empty list.

        The store does not decode the list, so that an append costs little, however many items there are. Returns the
        size of the list in bytes, as JSON, and None when there is no such session. With an `idempotency_key` that was
        used in the last ten minutes nothing is appended.

        Raises:
            NotAListError: the value is not a list.
            ListFullError: the list would have more than `max_bytes`; nothing was appended.
            SessionTooLargeError: the session would exceed `max_session_bytes`; nothing was appended.
            ValueError: an argument is malformed, InvalidMetadataError and MetadataTooLargeError included.
            OutcomeUnknownError: the reply was lost, and without an idempotency key the call was not retried.

        """
        return self._runner.run(
            self._manager.append_session_metadata(
                session_id, key, *items, max_bytes=max_bytes, idempotency_key=idempotency_key
            )
        )

    def transform_session_metadata(
        self,
        session_id: str,
        key: str,
        function: Callable[[Any], Any],
        default: Any = None,
        *,
        max_attempts: int = 100,
        idempotency_key: str | None = None,
    ) -> Transformed | None:
        """Replace a metadata value by `function(value)`, unless it changes meanwhile: then read it and try again.

        No concurrent change is lost. Calls for the same key wait for each other in this process, so that conflicts only
        arise with other ones and other processes. A lost reply is retried, and the new value is written once.

        Args:
            session_id: the session's id.
            key: the metadata key.
            function: it gets the present value and returns the new one, or ABSENT to remove the key. It runs once for
                each attempt, so it should do nothing else. It may change the object that it gets, and must return it.
                It runs in the background thread, where it must not take long or call a synchronous manager. If it
                raises an error, nothing is changed, and the error propagates.
            default: the value that the function gets if there is no such key; a copy, if it is mutable.
            max_attempts: most calls of the function.
            idempotency_key: apply only the first of the calls for this session with this key within ten minutes. The
                later ones return the current value, and do not call the function.

        Returns:
            The new value with the number of attempts, or None when there is no such session.

        Raises:
            MetadataConflictError: the value was changed during each of the attempts; nothing was changed by this call.
            SessionTooLargeError: the session would exceed `max_session_bytes`; nothing was changed.
            ValueError: an argument or the new value is malformed, InvalidMetadataError and MetadataTooLargeError
                included.
            OutcomeUnknownError: the reply to the write was lost, and the store did not answer the retries. With an
                idempotency key, this is a SessionUnavailableError, because the call can be repeated.

        """
        return self._runner.run(
            self._manager.transform_session_metadata(
                session_id, key, function, default, max_attempts=max_attempts, idempotency_key=idempotency_key
            )
        )

    @property
    def federation(self) -> Any:
        """The `chuk_sessions.federation.Federation` of this manager. Raises ValueError if it has none."""
        return self._manager.federation

    def grant_session(
        self,
        session_id: str,
        *,
        to: str,
        path: str = "",
        actions: Sequence[str] = ("read",),
        ttl_seconds: float = 300,
        jkt: str | None = None,
    ) -> str | None:
        """Let another sandbox use a path of a session, and return the token for it; None when there is no such session.

        The grant ends when it expires or is revoked, and with the session: when that is deleted or revoked, or expires,
        or at the next login. It survives rotations of the session's id. It cannot be passed on: only the sandbox `to`
        can resolve the token. This is neither an access to the session nor a change of its version.

        Args:
            session_id: the session's id.
            to: the sandbox that may use the grant.
            path: the path that it covers with everything below, relative to the session: `reports` covers `reports` and
                `reports/2026`, and not `reports2`. By default everything. It may be given as a grid path.
            actions: what the sandbox may do: up to 16 names that the two sandboxes agree on.
            ttl_seconds: seconds until the grant expires, at least 1. It never outlives the session's deadline, nor the
                federation's `max_ttl_seconds`. Tokens have whole seconds, so it may expire up to a second earlier.
            jkt: the thumbprint of the only key that may use the grant, see `chuk_sessions.federation.ProofKey`.

        Raises:
            ValueError: an argument is malformed, or the manager has no federation with keys.
            GrantLimitError: the session has 64 grants.
            SessionTooLargeError: the session would exceed `max_session_bytes`.

        """
        return self._runner.run(
            self._manager.grant_session(session_id, to=to, path=path, actions=actions, ttl_seconds=ttl_seconds, jkt=jkt)
        )

    def resolve_grant(self, token: str, path: str, action: str = "read", *, proof: Any = None) -> ResolvedGrant | None:
        """Return a grant of another sandbox if it counts at this moment and allows an action on a path, else None.

        The store is asked each time, so a grant is refused as soon as it has been revoked or its session has ended.
        The signature of a token is checked once. This is not an access to the session.

        Args:
            token: the token; any text or other value may come from a client.
            path: a path relative to the session, or its grid path by reference, `grid/SANDBOX/REFERENCE/PATH`. Open
                exactly this path afterwards. A path that would leave the grant when it is decoded is refused.
            action: what the caller wants to do.
            proof: a `chuk_sessions.federation.Proof`, for a grant that is bound to a key.

        Raises:
            ValueError: the manager has no federation.
            ProviderError: the store failed, or the issuer's, so nobody can tell whether the grant counts.
            KeyUnavailableError: the session's user is encrypted under a key that this manager lacks.

        """
        return self._runner.run(self._manager.resolve_grant(token, path, action, proof=proof))

    def check_grant(self, grant: Any) -> ResolvedGrant | None:
        """Return a grant if it counts at this moment, else None. Its token must have been verified before.

        `resolve_grant` does both. This method is for code that verifies tokens itself, like `FederationApp`. Takes a
        `chuk_sessions.federation.Grant`. Raises ValueError if the manager has no federation.
        """
        return self._runner.run(self._manager.check_grant(grant))

    def revoke_grant(self, token_or_jti: str) -> bool:
        """Revoke a grant of this sandbox, given its token or id, with immediate effect. Returns whether it counted.

        The signature of the token is not checked, so grants of a key that was removed can be revoked, too.
        """
        return self._runner.run(self._manager.revoke_grant(token_or_jti))

    def revoke_grants(self, session_id: str) -> int:
        """Revoke all grants of a session, with immediate effect. Returns their number; 0 when there is no such session.

        If a reply gets lost, grants that the lost attempt has revoked do not count.
        """
        return self._runner.run(self._manager.revoke_grants(session_id))

    def list_grants(self, session_id: str) -> list[ListedGrant]:
        """Return the grants of a session that count, the first to expire first; none when there is no such session."""
        return self._runner.run(self._manager.list_grants(session_id))

    def list_sessions(self, limit: int = 10_000) -> list[str]:
        """Return the references of at most `limit` live sessions of this sandbox, in no particular order. Raises
        NotSupportedError on a custom provider, as do all methods below that list, count, or revoke by user.

        A reference identifies a session and does not grant access to it; see `session_hash` and `revoke_session`.
        """
        return self._runner.run(self._manager.list_sessions(limit))

    def iter_sessions(self) -> Generator[str, None, None]:
        """Iterate over the references of all live sessions of this sandbox, in no particular order, in bounded memory.

        A session that is alive during the whole iteration is yielded at least once, and exactly once unless its
        expiry moves meanwhile (a touch that restarts the idle timeout, or an extension). A session that is created,
        rotated or deleted, or expires meanwhile may be yielded or not.
        """
        return self._runner.iterate(self._manager.iter_sessions())

    def get_listed_session(self, reference: str) -> ListedSession | None:
        """Return the live session with this reference, as lists have it, or None. Does not touch it.

        During its grace period, the reference of an old id leads to the session that replaced it, under its present
        reference. An id is not a reference. Raises CorruptRecordError for a record that cannot be read.
        """
        return self._runner.run(self._manager.get_listed_session(reference))

    def list_user_sessions(self, user_id: str) -> list[ListedSession]:
        """Return the live sessions of a user in this sandbox, oldest first. Unreadable ones are logged and left out.

        Each session that is alive during the whole call is in the list, even if it is rotated meanwhile. Then it may be
        in the list twice, under both of its references.
        """
        return self._runner.run(self._manager.list_user_sessions(user_id))

    def iter_user_sessions(self, user_id: str) -> Generator[ListedSession, None, None]:
        """Iterate over the sessions that `list_user_sessions` returns, in no particular order. Keeps only references in
        memory.
        """
        return self._runner.iterate(self._manager.iter_user_sessions(user_id))

    def count_sessions(self, user_id: str | None = None) -> int:
        """Return how many live sessions this sandbox, or a user in it, has. A user's session that is moved to the home
        bucket meanwhile may be counted twice.
        """
        return self._runner.run(self._manager.count_sessions(user_id))

    def revoke_user_sessions(self, user_id: str, *, except_session_id: str | None = None) -> int:
        """Revoke all sessions of a user in this sandbox, except `except_session_id`. Returns how many were revoked.

        The kept session may be rotated meanwhile, with a grace period. While a cap moves it to the user's home bucket,
        it may be revoked, too. If `except_session_id` is not a live session of the user, all are revoked. Unreadable
        records are revoked, too.

        Raises:
            RevocationIncompleteError: parts of the store did not answer; the sessions in all others were revoked.
            SessionConflictError: new sessions of the user are created faster than they can be revoked.

        """
        return self._runner.run(self._manager.revoke_user_sessions(user_id, except_session_id=except_session_id))

    def cleanup_expired_sessions(self, *, all_sandboxes: bool = False) -> int:
        """Remove expired sessions, of this sandbox or of all, and return how many there were. The store expires their
        records anyway; call this every few minutes in one process to remove their index entries, too.
        """
        return self._runner.run(self._manager.cleanup_expired_sessions(all_sandboxes=all_sandboxes))


__all__ = ["SessionManager"]
