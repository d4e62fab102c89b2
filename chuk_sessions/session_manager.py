"""SessionManager: the public interface to sessions."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any, Self, cast
from weakref import finalize

from . import capabilities, settings
from .backends.custom import CustomBackend
from .backends.sharing import CLOSED, SessionFactory, backend_of, count_managers
from .core import (
    data_operations,
    event_entries,
    ids,
    keys,
    modes,
    notices,
    operation_ids,
    operations,
    statuses,
    validation,
)
from .core.durations import ms_from_hours, ms_from_seconds, ttl_from_hours
from .core.grid import GridPaths
from .core.owners import NOBODY
from .core.values import SALT, CodecFactory, json_codec, new_salt
from .engine import results
from .engine.encrypted_updates import EncryptedUpdates
from .engine.executor import Executor
from .engine.many_sessions import ManySessions
from .engine.outcomes import unknown_after_lost_reply
from .engine.policy import session_policy
from .engine.replaced_methods import ReplacedMethods
from .engine.revocation import Revoker
from .engine.rotation import Rotator
from .engine.salts import RecentSalts
from .engine.session_access import SessionAccess
from .engine.session_data import SessionData
from .engine.session_grants import SessionGrants
from .engine.session_index import SessionIndex
from .engine.sessions import Sessions
from .engine.strays import StrayNotes
from .engine.sweeping import Sweeper
from .enums import AllocateMode, ProviderType, WhenFull
from .exceptions import ManagerClosedError, NotSupportedError
from .models import Health, SessionCache, SessionFederation, SessionMetadata, SessionMigration, ValueEncryption
from .provider_factory import factory_for_env

MAX_METADATA_BYTES = 1_048_576


class SessionManager(GridPaths, SessionAccess, SessionData, SessionGrants, ManySessions, ReplacedMethods):
    """The sessions of one sandbox: their lifecycle, and grid paths for their artifacts.

    Sandboxes do not see each other's sessions. Any number of managers, tasks, threads with event loops of their own,
    and processes may work on the same sessions. Creating a manager opens no connection and needs no running event loop.

    Methods treat a malformed session id like the id of no session, because ids come from clients. Other malformed
    arguments raise ValueError. Store failures raise a subclass of ProviderError, so False and None always mean that
    there is no such session.
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
        max_session_bytes: int = data_operations.MAX_SESSION_BYTES,
        events: bool | str | None = None,
        max_events: int = event_entries.DEFAULT_CAP,
        encryption: ValueEncryption | None = None,
        local_cache: SessionCache | None = None,
        federation: SessionFederation | None = None,
        migration: SessionMigration | None = None,
        _values: CodecFactory = json_codec,
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
        env = settings.from_env()
        sandbox_id = sandbox_id or env.sandbox_id
        name = sandbox_id or f"sandbox-{uuid.uuid4().hex[:8]}"
        self._sandbox_id = ids.check_name(name, "sandbox_id", validation.MAX_SANDBOX_LENGTH)
        self._ttl_ms = ms_from_hours(default_ttl_hours, "default_ttl_hours")
        self._default_ttl_hours = default_ttl_hours
        self.session_factory = session_factory if session_factory is not None else factory_for_env()
        self._max_metadata_bytes = validation.positive(max_metadata_bytes, "max_metadata_bytes")
        self._policy = policy = session_policy(
            idle_timeout_seconds=idle_timeout_seconds,
            touch_interval_seconds=touch_interval_seconds,
            max_sessions_per_user=max_sessions_per_user,
            when_full=when_full,
            retention_seconds=retention_seconds,
            max_session_bytes=max_session_bytes,
            events=env.events if events is None else events,
            max_events=max_events,
        )
        self._backend = backend_of(self.session_factory)
        if policy.events and self._backend.name == CustomBackend.name:
            raise NotSupportedError("a custom provider has no streams of events")
        if not sandbox_id and self._backend.name == ProviderType.REDIS:
            notices.random_sandbox(self._sandbox_id)
        if encryption is None and _values is json_codec:
            encryption = capabilities.encryption(env)
        codec_of = _values if encryption is None else encryption.codec
        self._values = codec_of(self._sandbox_id)
        self._record = results.record_reader(self._values)
        self._find = partial(keys.find, self._sandbox_id)
        executor = self._build_engine()
        self._open_federation(federation or capabilities.federation(env), codec_of)
        migration = capabilities.migration(env) if migration is None else migration
        self._cache = self._opened(local_cache, migration, executor, SessionManager)
        count_managers(self._backend, 1)
        self._release = finalize(self, count_managers, self._backend, -1)

    def _build_engine(self) -> Executor:
        """Create what runs the calls of the methods, and return its executor."""
        executor, policy = Executor(self._backend, self._sandbox_id, self._values), self._policy
        self._submit, self._execute = executor.submit, executor.execute_following_rotation
        self._salts = RecentSalts() if self._values.needs_fields else None
        self._encrypted = EncryptedUpdates(executor, self._salts or RecentSalts())
        notes = StrayNotes(executor)
        self._sessions, self._rotator = Sessions(executor, policy), Rotator(executor, policy)
        self._session_index, self._revoker = SessionIndex(executor, notes), Revoker(executor, notes)
        self._sweeper = Sweeper(executor, notes)
        return executor

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close this manager; calling it again is harmless. This closes the running event loop's connections, unless
        another open manager shares them. Connections of another loop close when that loop shuts down.
        """
        self._submit = self._execute = self._sessions = self._rotator = cast(Any, CLOSED)
        self._session_index = self._revoker = self._sweeper = self._encrypted = cast(Any, CLOSED)
        opened, self._grants = self._grants, cast(Any, CLOSED)
        if opened is not None and opened is not CLOSED:
            await opened.aclose()
        self._restore_methods()
        if self._release() == 0:
            await self._backend.aclose()

    @property
    def default_ttl_hours(self) -> float:
        """Hours until a session expires, unless `allocate_session` gets its own."""
        return self._default_ttl_hours

    async def allocate_session(
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

        If the call is canceled and chose the id, the session that it may have created is deleted in the background.

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
        if session_id is not None:
            ids.check_name(session_id, "session_id")
        owner = NOBODY if user_id is None else self._values.owner(validation.owner(user_id))
        mode_text = modes.mode(mode)
        ttl_ms = self._ttl_ms if ttl_hours is None else ttl_from_hours(ttl_hours, "ttl_hours")
        pairs: list[bytes] = []
        salt = new_salt(self._values)
        if custom_metadata is not None:
            pairs = self._values.encode(custom_metadata, self._max_metadata_bytes, salt)
            validation.check_size(pairs, self._policy.session_bytes)
        if salt:
            pairs = [SALT, salt, *pairs, *([] if user_id is None else self._values.owner_pairs(user_id, salt))]
        if session_id is None:
            session_id = await self._sessions.allocate(user_id, owner, pairs, ttl_ms=ttl_ms)
            if self._salts and salt:
                self._salts.note(keys.session_keys(self._sandbox_id, session_id).record, salt)
            return session_id
        target = keys.session_keys(self._sandbox_id, session_id)
        await self._sessions.allocate_at(target, user_id, owner, pairs, ttl_ms=ttl_ms, mode=mode_text)
        return session_id

    async def validate_session(self, session_id: str, *, fresh: bool = False) -> bool:
        """Return whether the session is alive, and touch it: `last_accessed` and the idle timeout start again, the
        deadline does not move. At the server's memory limit the session is not touched. Within the touch interval, a
        local cache may answer. With `fresh`, the store does.
        """
        target = self._find(session_id)
        if target is None:
            return False
        policy = self._policy
        call = operations.validate(target, policy.interval_ms, policy.retention_ms, policy.idle_ms > 0)
        # The most frequent call: if the reply is OK, nothing else runs between this method and the backend.
        reply = await self._submit(call)
        return reply[0] == statuses.OK or results.is_ok(await self._sessions.access(target, call, reply))

    async def extend_session_ttl(self, session_id: str, additional_hours: float) -> bool:
        """Move the deadline into the future by hours, which may be a fraction; exactly once even if replies get lost.
        Returns False when there is no such session.

        Raises:
            ValueError: the hours are not positive and finite, or the deadline would be after the year 9999.
            OutcomeUnknownError: a reply was lost, and the store did not answer the retries.

        """
        additional_ms = ms_from_hours(additional_hours, "additional_hours")
        target = self._find(session_id)
        if target is None:
            return False
        operation_id, retention_ms = operation_ids.operation_id(), self._policy.retention_ms
        call = operations.extend(
            target,
            additional_ms=additional_ms,
            operation_id=operation_id,
            retention_ms=retention_ms,
            events=self._policy.events > 0,
        )
        with unknown_after_lost_reply:
            return await self._execute(target, call, results.is_ok)

    async def delete_session(self, session_id: str) -> bool:
        """Delete a session, with immediate effect everywhere. Returns whether there was one. A retry that
        arrives late does not delete a new session with that id.
        """
        target = self._find(session_id)
        return target is not None and await self._sessions.delete(target, reused=not ids.is_generated(session_id))

    async def revoke_session(self, reference: str, *, user_id: str | None = None) -> bool:
        """Delete the session with this reference, as lists and `session_hash` return it; False if there is none.

        A reference from a client, for example from a page with the user's devices, needs `user_id`: then a session of
        another user counts as none. During its grace period, the reference of an old id deletes the session, too; after
        that a rotated session has only its new reference. An id is not a reference, and never deletes anything here.

        Raises:
            ValueError: `user_id` is malformed.
            CorruptRecordError: with `user_id`, the record cannot be read, so its owner is unknown; nothing was deleted.

        """
        owner = None if user_id is None else self._values.owner(validation.owner(user_id))
        target = keys.find_reference(self._sandbox_id, reference)
        if target is None:
            return False
        if owner is not None:
            return await self._sessions.revoke(target, owner)
        return await self._sessions.delete(target, event_entries.REVOKED, reused=True)

    async def rotate_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        ttl_hours: float | None = None,
        grace_seconds: float = 0,
    ) -> str | None:
        """Give a session a new id and return it. Returns None when there is no such session.

        Without `user_id`, everything else stays, and the old id remains valid for `grace_seconds`, for concurrent
        requests; its holders do not learn the new one.

        With `user_id`, at login, the session then belongs to that user, and the old id is invalid immediately, which
        prevents session fixation. A new lifetime starts, also if the user logs in again: with the deadline in
        `ttl_hours` from now, by default the manager's, and with the manager's idle timeout. Metadata stays, unless the
        session belonged to another user, who may have left a cart in it. Rate limits always stay; requests to them
        during the login may go uncounted.

        After a canceled call there is either the session under `session_id` or the one under the returned id, not both,
        as long as the store can be reached. Otherwise at most one session remains whose id no caller knows: it is
        listed and expires at its deadline. The call therefore undoes or completes work that it has begun, which takes
        as long as its calls to the store may take. If it is too late to undo, it returns the id, and the cancellation
        follows at the caller's next await, unless it came from a timeout whose block has been left by then.

        Raises:
            ValueError: an argument is malformed, a login has a grace period, or `ttl_hours` is given without a login.
            SessionRotatedError: `session_id` has been replaced already and is in its grace period.
            OutcomeUnknownError: a reply was lost or, with NotReplicatedError, too few replicas have acknowledged the
                change. If the session has a new id, the error's `session_id` is that id; otherwise it is None, and the
                session is under `session_id`. If the store cannot be reached to find out, the error has the new id, and
                the session is under one of the two, or under both if it was being copied to another user's bucket.
            SessionLimitError: the user has as many sessions as allowed, and `when_full` is `"refuse"`.

        """
        grace_ms = 0 if grace_seconds == 0 else ms_from_seconds(grace_seconds, "grace_seconds")
        target = self._find(session_id)
        if user_id is None:
            if ttl_hours is not None:
                raise ValueError("only a login starts a new lifetime: ttl_hours needs a user_id")
            return None if target is None else await self._rotator.rotate(target, grace_ms)
        owner = self._values.owner(validation.owner(user_id))
        ttl_ms = self._ttl_ms if ttl_hours is None else ttl_from_hours(ttl_hours, "ttl_hours")
        if grace_ms:
            raise ValueError("a login invalidates the old id immediately: grace_seconds must be 0")
        return None if target is None else await self._rotator.log_in(target, user_id, owner, ttl_ms)

    async def ping(self) -> Health:
        """Check the store for a readiness probe: its latency, server, role and known problems.

        Raises a subclass of ProviderError when the store does not answer within the time of a call. Problems raise no
        error, because sessions can be used in spite of them. A Redis user without `+info` and `+role` gets less detail.
        """
        if not self._release.alive:
            raise ManagerClosedError("this SessionManager was closed")
        return await self._backend.ping()


__all__ = ["SessionManager", "SessionMetadata"]
