"""The reads of one session that a cache answers instead, straight from the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..core import operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply
from ..core.record import Record
from .executor import Executor
from .policy import SessionPolicy
from .sessions import Sessions


class Found(NamedTuple):
    """The reply to a read.

    Attributes:
        reply: the reply of the session, or of the one that its old id points to.
        own: whether the first reply was OK, so the id is neither an old one nor that of no session.

    """

    reply: Reply
    own: bool


class DirectReads:
    """The reads of a manager.

    Attributes:
        sandbox_id: the sandbox.
        find: returns the keys of an id, or None for a value that is not one.
        record: returns the record in a reply, or None when there is no such session.
        interval_ms: the touch interval.

    """

    def __init__(
        self,
        executor: Executor,
        sessions: Sessions,
        policy: SessionPolicy,
        find: Callable[[str | None], SessionKeys | None],
        record: Callable[[Reply], Record | None],
    ) -> None:
        self.sandbox_id = executor.sandbox_id
        self.find = find
        self.record = record
        self.interval_ms = policy.interval_ms
        self._executor = executor
        self._sessions = sessions
        self._policy = policy

    async def read(self, target: SessionKeys) -> Found:
        """Read the session."""
        reply = await self._executor.submit(operations.read(target))
        return Found(await self.follow(target, reply), reply[0] == s.OK)

    async def follow(self, target: SessionKeys, reply: Reply) -> Reply:
        """Return the reply of the current session, after a reply to `read`. Raises the error that it stands for."""
        if reply[0] == s.OK:
            return reply
        return (await self._executor.follow_rotation(target, operations.read(target), reply))[1]

    async def validate(self, target: SessionKeys) -> Found:
        """Validate the session."""
        policy = self._policy
        return await self._access(
            target, operations.validate(target, policy.interval_ms, policy.retention_ms, policy.idle_ms > 0)
        )

    async def load(self, target: SessionKeys) -> Found:
        """Load the session."""
        policy = self._policy
        return await self._access(
            target, operations.load(target, policy.interval_ms, policy.retention_ms, policy.idle_ms > 0)
        )

    async def _access(self, target: SessionKeys, call: Call) -> Found:
        reply = await self._executor.submit(call)
        if reply[0] == s.OK:
            return Found(reply, True)
        # NEEDS_INDEX: the session has this id, but an idle timeout that this manager's sessions do not have.
        return Found(await self._sessions.access(target, call, reply), reply[0] == s.NEEDS_INDEX)
