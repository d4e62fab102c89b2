"""Runs calls for one sandbox: one, one after another where an id was rotated, or many side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Sequence
from functools import partial
from typing import Any

from .. import exceptions as errors
from ..backends.base import Backend
from ..core import ids, keys, operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply, RetryCalls
from .pacing import Pace

MOST_ROUNDS = 32
"""How often something is tried that others can keep from settling."""

_MOST_HOPS = 64

_SIDE_BY_SIDE = 256
"""Most calls that one caller has under way: one for each bucket. More would hold up the event loop while they are sent
and answered.
"""


class Executor:
    """Runs calls on a backend."""

    def __init__(self, backend: Backend, sandbox_id: str) -> None:
        self.sandbox_id = sandbox_id
        self._run = backend.run
        self.find = partial(keys.find, sandbox_id)
        """Where the session of an id lies, or None for what can be no id."""

    def target_for_handle(self, bucket: int, handle: bytes) -> SessionKeys:
        """The same from a handle, as indexes and replies hold it. Raises CorruptRecordError for what is no text."""
        try:
            return keys.session_keys_for_handle(self.sandbox_id, bucket, handle)
        except UnicodeDecodeError:
            raise errors.CorruptRecordError("a stored handle of a session is not text") from None

    def target_for_pointer(self, bucket: int, pointer: bytes) -> SessionKeys:
        """Where the session is that the reply MOVED names. Raises CorruptRecordError for what is no pointer."""
        try:
            return keys.session_keys_for_pointer(self.sandbox_id, bucket, pointer)
        except ValueError:
            raise errors.CorruptRecordError("a stored pointer to a session is not one") from None

    def new_target(self, user_id: str | None, bucket: int | None = None) -> tuple[str, SessionKeys]:
        """A fresh id, and where its session will lie: in that bucket, or the user's."""
        if bucket is None:
            bucket = ids.random_bucket() if user_id is None else ids.home_bucket(self.sandbox_id, user_id)
        session_id, handle = ids.new_id_and_handle(user_id, bucket)
        return session_id, keys.session_keys_for_handle(self.sandbox_id, bucket, handle.encode())

    def submit(self, call: Call, retry_calls: RetryCalls | None = None) -> Awaitable[Reply]:
        """Run one call; who awaits it checks the reply. `renew`: see `Backend.run`."""
        return self._run(call, retry_calls)

    async def execute(self, call: Call) -> Reply:
        """Run one call. Raises the error that its status stands for."""
        reply = await self._run(call)
        operations.check(call.operation, reply)
        return reply

    async def execute_following_rotation(
        self, target: SessionKeys, call: Call, reply: Reply | None = None
    ) -> tuple[SessionKeys, Reply]:
        """Run a call on a session, or on what its old id points to. Returns where it ran last, too.

        `reply` is that of the first run, for who has asked already: nearly every call is spared this coroutine.
        """
        for _ in range(_MOST_HOPS):
            if reply is None:
                reply = await self._run(call)
            operations.check(call.operation, reply)
            if reply[0] != s.MOVED:
                return target, reply
            target = self.target_for_pointer(target.index_keys.bucket, reply[1])
            call, reply = operations.retarget(call, target), None
        raise errors.SessionConflictError("the id was rotated too often within its grace period")

    async def execute_all(
        self, calls: Sequence[Call], *, accepted: Collection[int] = (), most: int = _SIDE_BY_SIDE
    ) -> list[Reply]:
        """Run calls side by side and return their replies. When one fails, the others finish first.

        `accepted` are statuses that raise no error.
        """
        return [_raised(reply) for reply in await self.settle_all(calls, accepted=accepted, most=most)]

    async def settle_all(
        self,
        calls: Sequence[Call],
        *,
        accepted: Collection[int] = (),
        most: int = _SIDE_BY_SIDE,
        pace: Pace | None = None,
    ) -> list[Reply | errors.SessionError]:
        """Run calls side by side, at most so many, and return, for each, its reply or the error that it ended with.

        `pace` is shared by what runs at the same time for one caller.
        """
        if len(calls) <= most and calls and calls[0].operation.read_only:
            # Reads are quickly sent and answered: a task for each is enough.
            replies = await asyncio.gather(*[self._run(call) for call in calls], return_exceptions=True)
            return [_settled(call, reply, accepted) for call, reply in zip(calls, replies, strict=True)]
        settled: list[Any] = [None] * len(calls)
        waiting, pace = enumerate(calls), pace or Pace()

        async def work() -> None:
            for index, call in waiting:
                if pace.is_due():
                    await pace.give_way()
                try:
                    settled[index] = reply = await self._run(call)
                    if reply[0] not in accepted:
                        operations.check(call.operation, reply)
                except errors.SessionError as error:
                    settled[index] = error

        workers = (work() for _ in range(min(len(calls), most)))
        for failure in await asyncio.gather(*workers, return_exceptions=True):
            if failure is not None:
                raise failure
        return settled


def _settled(call: Call, reply: Reply | BaseException, accepted: Collection[int]) -> Reply | errors.SessionError:
    """Return a reply, or the error that it stands for. Raises what is no error of this library."""
    if isinstance(reply, BaseException):
        if isinstance(reply, errors.SessionError):
            return reply
        raise reply
    if reply[0] != s.OK and reply[0] not in accepted:
        try:
            operations.check(call.operation, reply)
        except errors.SessionError as error:
            return error
    return reply


def _raised(reply: Reply | errors.SessionError) -> Reply:
    if isinstance(reply, errors.SessionError):
        raise reply
    return reply
