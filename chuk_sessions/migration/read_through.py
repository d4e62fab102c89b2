"""Reading through: a manager adopts a session from the source when a call finds that the target has none."""

from __future__ import annotations

import functools
import logging
import operator
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from .. import exceptions as errors
from .. import settings
from ..core import keys, validation
from ..core import statuses as s
from ..core.durations import ms_from_hours
from ..engine.executor import Executor
from ..engine.policy import SessionPolicy
from .adopter import Adopter, Limits
from .published import EVERY, PublishedSource, redis_factory
from .source import ReadsOne

logger = logging.getLogger(__name__)

DEFAULT_OVERLAP_HOURS: Final = settings.DEFAULT_OVERLAP_HOURS

_LOOKUPS: Final = (
    "validate_session", "load_session", "get_session_info", "get_session_metadata", "extend_session_ttl",
    "set_session_ttl", "update_session_metadata", "increment_session_counter", "append_session_metadata",
    "transform_session_metadata", "rate_limit_session", "grant_session",
)  # fmt: skip
"""The methods whose result is False or None if there is no session with the given id, and only then."""
_OF_GRANTS: Final = ("list_grants", "revoke_grants")
"""The methods whose result is empty or 0 then, and also for a session without grants."""

Method = Callable[..., Any]


class ReadThrough:
    """The source that a SessionManager adopts sessions from: `SessionManager(migration=ReadThrough(source))`.

    A call for an id that the target does not have looks it up in the source, adopts the session with its own times, and
    is repeated. An adopted session belongs to the target from then on. Once it ends there, in whatever way, it is not
    adopted again. Source and target must not share a sandbox of the same store.
    """

    def __init__(self, source: ReadsOne | str, *, overlap_hours: float = DEFAULT_OVERLAP_HOURS) -> None:
        """Create the setting; nothing is sent.

        Args:
            source: a PublishedSource, a SandboxSource, or the URL of a store of chuk-sessions 0.6.
            overlap_hours: for how long old processes may still use the source, at most. They may extend a session there
                that was deleted here. So an id is not adopted again for this long after its adoption or deletion, and
                at least until its deadline.

        Raises:
            ValueError: the URL or the number is malformed.

        """
        self._source: ReadsOne = PublishedSource(redis_factory(source)) if isinstance(source, str) else source
        self._overlap_ms = ms_from_hours(overlap_hours, "overlap_hours")

    def open(self, executor: Executor, policy: SessionPolicy) -> Mapping[str, Callable[[Method], Method]]:
        """Return what replaces the methods of a manager. See `SessionMigration`."""
        limits = Limits(policy.session_bytes, policy.retention_ms, policy.events, self._overlap_ms)
        return _Reading(self._source, Adopter(executor, limits), executor.sandbox_id).wrappers()


def _is_none_or_false(result: Any) -> bool:
    return result is None or result is False


class _Reading:
    """The reading of one manager."""

    def __init__(self, source: ReadsOne, adopter: Adopter, sandbox_id: str) -> None:
        self._source = source
        self._adopter = adopter
        self._sandbox_id = sandbox_id

    def wrappers(self) -> dict[str, Callable[[Method], Method]]:
        return {
            **dict.fromkeys(_LOOKUPS, self._lookup),
            **dict.fromkeys(_OF_GRANTS, functools.partial(self._lookup, is_nothing=operator.not_)),
            "allocate_session": self._allocate,
            "rotate_session": self._rotate,
            "delete_session": self._delete,
            "revoke_session": self._revoke,
            "revoke_user_sessions": self._revoke_user,
        }

    async def adopt(self, session_id: str | None) -> bool:
        """Adopt a session if the source has it. Returns whether the target has, or had meanwhile, a session."""
        if session_id is None or keys.find(self._sandbox_id, session_id) is None:
            return False
        if not self._source.may_have(session_id):
            return False
        found = await self._source.read(self._sandbox_id, session_id)
        if found is None:
            return False
        try:
            return await self._adopter.adopt(found) in (s.CREATED, s.EXISTS, s.MOVED)
        except ValueError as error:
            reference = self._adopter.target(found).reference
            logger.warning("session %s of the source cannot be stored here: %s", reference, error)
            return False

    def _lookup(self, method: Method, is_nothing: Callable[[Any], bool] = _is_none_or_false) -> Method:
        @functools.wraps(method)
        async def look_up(session_id: str, *args: Any, **options: Any) -> Any:
            result = await method(session_id, *args, **options)
            if is_nothing(result) and await self.adopt(session_id):
                result = await method(session_id, *args, **options)
            return result

        return look_up

    def _allocate(self, method: Method) -> Method:
        @functools.wraps(method)
        async def allocate_session(session_id: str | None = None, *args: Any, **options: Any) -> Any:
            await self.adopt(session_id)
            return await method(session_id, *args, **options)

        return allocate_session

    def _rotate(self, method: Method) -> Method:
        @functools.wraps(method)
        async def rotate_session(session_id: str, *args: Any, **options: Any) -> Any:
            new_id = await method(session_id, *args, **options)
            if new_id is None and await self.adopt(session_id):
                new_id = await method(session_id, *args, **options)
            if new_id is not None and self._source.may_have(session_id):
                # Old processes would accept the old id. The caller needs the new one in any case.
                try:
                    await self._source.remove_one(self._sandbox_id, session_id)
                except errors.SessionError as error:
                    logger.warning("a rotated id may still be valid in the source: %s", error)
            return new_id

        return rotate_session

    def _delete(self, method: Method) -> Method:
        @functools.wraps(method)
        async def delete_session(session_id: str) -> bool:
            target = keys.find(self._sandbox_id, session_id)
            if target is None or not self._source.may_have(session_id):
                return bool(await method(session_id))
            async with _despite_failure(self._adopter.block(target)):
                deleted = bool(await method(session_id))
                return await self._source.remove_one(self._sandbox_id, session_id) or deleted

        return delete_session

    def _revoke(self, method: Method) -> Method:
        @functools.wraps(method)
        async def revoke_session(reference: str, *, user_id: str | None = None) -> bool:
            target = keys.find_reference(self._sandbox_id, reference)
            # With a user, only a session that was listed can be meant, which has been adopted.
            if target is None or user_id is not None:
                return bool(await method(reference, user_id=user_id))
            async with _despite_failure(self._adopter.block(target)):
                return bool(await method(reference, user_id=user_id))

        return revoke_session

    def _revoke_user(self, method: Method) -> Method:
        @functools.wraps(method)
        async def revoke_user_sessions(user_id: str, *, except_session_id: str | None = None) -> int:
            validation.owner(user_id)
            async with _despite_failure(self._prepare_revocation(user_id, except_session_id)):
                return int(await method(user_id, except_session_id=except_session_id))

        return revoke_user_sessions

    async def _prepare_revocation(self, user_id: str, except_session_id: str | None) -> None:
        await self.adopt(except_session_id)
        await self._adopter.block_user(user_id)


@asynccontextmanager
async def _despite_failure(preparation: Awaitable[Any]) -> AsyncIterator[None]:
    """Prepare the end of sessions, and let them end even if that fails; then raise the error.

    At full memory, sessions can be ended, but no id can be blocked.
    """
    failure: errors.SessionError | None = None
    try:
        await preparation
    except errors.SessionError as error:
        failure = error
    yield
    if failure is not None:
        raise failure


def from_env() -> ReadThrough:
    """Return the setting of the environment: SESSION_MIGRATE_FROM and the variables that go with it.

    Raises ValueError for malformed ones.
    """
    env = settings.from_env()
    names = [name for part in env.migrate_sandbox.split(",") if (name := part.strip())]
    sandboxes = EVERY if names == [EVERY] else names or None
    source = PublishedSource(redis_factory(env.migrate_from), sandboxes=sandboxes)
    return ReadThrough(source, overlap_hours=env.migrate_overlap_hours)
