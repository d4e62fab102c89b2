"""Runs calls for one sandbox: one, one after another where an id was rotated, or many side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial

from . import exceptions as errors
from . import ids, keys, operations
from . import statuses as s
from .backends.base import Backend, Call, Renew, Reply
from .keys import Place

MOST_ROUNDS = 32
"""How often something is tried that others can keep from settling."""

_MOST_HOPS = 64


class Runner:
    """Runs calls on a backend."""

    def __init__(self, backend: Backend, sandbox_id: str) -> None:
        self.sandbox_id = sandbox_id
        self._run = backend.run
        self.find = partial(keys.find, sandbox_id)
        """Where the session of an id lies, or None for what can be no id."""

    def place_of_handle(self, bucket: int, handle: bytes) -> Place:
        """The same from a handle, as indexes and replies hold it. Raises CorruptRecordError for what is no text."""
        try:
            return keys.place_of_handle(self.sandbox_id, bucket, handle)
        except UnicodeDecodeError:
            raise errors.CorruptRecordError("a stored handle of a session is not text") from None

    def new_place(self, user_id: str | None, bucket: int | None = None) -> tuple[str, Place]:
        """A fresh id, and where its session will lie: in that bucket, or the user's."""
        if bucket is None:
            bucket = ids.random_bucket() if user_id is None else ids.home_bucket(self.sandbox_id, user_id)
        session_id, handle = ids.new_id_and_handle(user_id, bucket)
        return session_id, keys.place_of_handle(self.sandbox_id, bucket, handle.encode())

    def ask(self, call: Call, renew: Renew | None = None) -> Awaitable[Reply]:
        """Run one call; who awaits it checks the reply. `renew`: see `Backend.run`."""
        return self._run(*call, renew)

    async def run(self, call: Call) -> Reply:
        """Run one call. Raises the error that its status stands for."""
        reply = await self._run(*call)
        operations.check(call.operation, reply)
        return reply

    async def follow(self, place: Place, call: Call, reply: Reply | None = None) -> tuple[Place, Reply]:
        """Run a call on a session, or on what its old id points to. Returns where it ran last, too.

        `reply` is that of the first run, for who has asked already: nearly every call is spared this coroutine.
        """
        for _ in range(_MOST_HOPS):
            if reply is None:
                reply = await self._run(*call)
            operations.check(call.operation, reply)
            if reply[0] != s.MOVED:
                return place, reply
            place = self.place_of_handle(place.at.bucket, reply[1])
            call, reply = operations.at(call, place), None
        raise errors.SessionConflictError("the id was rotated too often within its grace period")

    async def run_all(
        self,
        calls: Sequence[Call],
        *,
        owner_misses: bool = False,
        not_replicated: list[errors.NotReplicatedError] | None = None,
    ) -> list[Reply]:
        """Run calls side by side. When one fails, the others end first. `owner_misses`: OTHER_OWNER is no error.

        A call whose writes too few replicas have was applied, and has a reply like the others. Its error is added to
        `not_replicated`, for a caller that has more to do before raising it. Without that list it is raised here,
        unless there is another error.
        """
        results = await asyncio.gather(*(self._run(*call) for call in calls), return_exceptions=True)
        short = [result for result in results if isinstance(result, errors.NotReplicatedError)]
        replies = [_applied(result) for result in results]
        for call, reply in zip(calls, replies, strict=True):
            if not (owner_misses and reply[0] == s.OTHER_OWNER):
                operations.check(call.operation, reply)
        if not_replicated is not None:
            not_replicated += short
        elif short:
            raise short[0]
        return replies


def _applied(result: Reply | BaseException) -> Reply:
    """The reply of a call that was applied. Raises what any other call ended with."""
    if isinstance(result, errors.NotReplicatedError):
        return result.reply
    if isinstance(result, BaseException):
        raise result
    return result
