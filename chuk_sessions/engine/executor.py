"""The executor: runs calls for one sandbox, singly, following rotated ids, or concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from .. import exceptions as errors
from ..backends.base import Backend
from ..core import ids, keys, operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.operation import Call, Reply, RetryCalls
from ..core.values import ValueCodec
from .time_slice import TimeSlice

T = TypeVar("T")

MAX_ATTEMPTS = 32
"""Most attempts at work that concurrent changes can undo each time."""

MAX_ROTATIONS = 64
"""Most rotated ids that one call follows."""

_MAX_CONCURRENT_CALLS = 256
"""Most concurrent calls of one caller: one for each bucket. More would hold the event loop for too long."""


class Execute(Protocol):
    """The type of `Executor.execute_following_rotation`, for classes that only need that."""

    def __call__(self, target: SessionKeys, call: Call, result: Callable[[Reply], T]) -> Coroutine[Any, Any, T]:
        """Run a call on a session, and return `result` of the reply."""


class Submit(Protocol):
    """The type of `Executor.submit`, which is `Backend.run`."""

    def __call__(self, call: Call, retry_calls: RetryCalls | None = None) -> Coroutine[Any, Any, Reply]:
        """Run one call, and return its reply."""


class Executor:
    """Runs calls on a backend.

    Attributes:
        sandbox_id: the sandbox of the sessions.
        values: the codec of the values and owners in that sandbox.
        submit: a function that runs one call, see `Backend.run`. It does not check the reply.

    """

    def __init__(self, backend: Backend, sandbox_id: str, values: ValueCodec) -> None:
        self.sandbox_id = sandbox_id
        self.values = values
        self.submit = backend.run

    def target_for_pointer(self, bucket: int, pointer: bytes) -> SessionKeys:
        """Return the keys of the session that a reply MOVED points to.

        Raises CorruptRecordError for bytes that are not a pointer.
        """
        try:
            return keys.session_keys_for_pointer(self.sandbox_id, bucket, pointer)
        except ValueError:
            raise errors.CorruptRecordError("a stored pointer to a session is not one") from None

    def new_target(self, user_id: str | None, bucket: int | None = None) -> tuple[str, SessionKeys]:
        """Return a fresh id and the keys of its session, by default in the user's home bucket."""
        if bucket is None:
            bucket = ids.random_bucket() if user_id is None else ids.home_bucket(self.sandbox_id, user_id)
        session_id = ids.new_id(user_id, bucket)
        return session_id, keys.new_session_keys(self.sandbox_id, session_id, bucket)

    async def execute(self, call: Call) -> Reply:
        """Run one call. Raises the error that its status stands for."""
        reply = await self.submit(call)
        s.check(call.operation, reply)
        return reply

    async def execute_until_known(self, call: Call) -> Reply:
        """Run a call again while its reply gets lost, because a repeat is harmless. Raises what `execute` raises.

        A NotReplicatedError is raised at once: the call was applied.
        """
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return await self.execute(call)
            except errors.NotReplicatedError:
                raise
            except errors.OutcomeUnknownError:
                continue
        return await self.execute(call)

    async def execute_following_rotation(self, target: SessionKeys, call: Call, result: Callable[[Reply], T]) -> T:
        """Run a call on a session, or on the session that its old id points to. Return `result` of the reply.

        Nearly every reply is OK and needs no other coroutine than this one.
        """
        reply = await self.submit(call)
        if reply[0] != s.OK:
            _, reply = await self.follow_rotation(target, call, reply)
        return result(reply)

    async def follow_rotation(self, target: SessionKeys, call: Call, reply: Reply) -> tuple[SessionKeys, Reply]:
        """Run a call that was replied to on the session that the id points to, until no reply is MOVED.

        Returns the keys of the last session and its reply. Raises the error that its status stands for, and
        SessionConflictError for too many rotations.
        """
        rotations = 0
        while s.check(call.operation, reply) == s.MOVED:
            rotations += 1
            if rotations > MAX_ROTATIONS:
                raise errors.SessionConflictError("the id was rotated too often within its grace period")
            target = self.target_for_pointer(target.index_keys.bucket, reply[1])
            call = operations.retarget(call, target)
            reply = await self.submit(call)
        return target, reply

    async def execute_all(self, calls: Sequence[Call], *, accepted: Collection[int] = ()) -> list[Reply]:
        """Run calls concurrently and return their replies.

        Raises the first error, once all calls have finished. Statuses in `accepted` raise none.
        """
        return [_raised(reply) for reply in await self.settle_all(calls, accepted=accepted)]

    async def settle_all(
        self,
        calls: Sequence[Call],
        *,
        accepted: Collection[int] = (),
        concurrency: int = _MAX_CONCURRENT_CALLS,
        time_slice: TimeSlice | None = None,
    ) -> list[Reply | errors.SessionError]:
        """Run calls, at most `concurrency` at the same time, and return the reply or the error of each.

        Statuses in `accepted` raise no error. `time_slice` is shared with other concurrent work of the same caller.
        """
        if calls and len(calls) <= concurrency and calls[0].operation.read_only:
            # Reads take little time to send and to parse, so they need no pauses.
            replies = await asyncio.gather(*[self.submit(call) for call in calls], return_exceptions=True)
            return [_outcome(call, reply, accepted) for call, reply in zip(calls, replies, strict=True)]
        outcomes: list[Any] = [None] * len(calls)
        unsent, time_slice = enumerate(calls), time_slice or TimeSlice()

        async def work() -> None:
            for index, call in unsent:
                if time_slice.is_over():
                    await time_slice.renew()
                try:
                    outcomes[index] = reply = await self.submit(call)
                    if reply[0] not in accepted:
                        s.check(call.operation, reply)
                except errors.SessionError as error:
                    outcomes[index] = error

        workers = (work() for _ in range(min(len(calls), concurrency)))
        for failure in await asyncio.gather(*workers, return_exceptions=True):
            if failure is not None:
                raise failure
        return outcomes


def _outcome(call: Call, reply: Reply | BaseException, accepted: Collection[int]) -> Reply | errors.SessionError:
    """Return a reply, or the error that it stands for. Raises exceptions that are not errors of this library."""
    if isinstance(reply, BaseException):
        if isinstance(reply, errors.SessionError):
            return reply
        raise reply
    if reply[0] != s.OK and reply[0] not in accepted:
        try:
            s.check(call.operation, reply)
        except errors.SessionError as error:
            return error
    return reply


def _raised(reply: Reply | errors.SessionError) -> Reply:
    if isinstance(reply, errors.SessionError):
        raise reply
    return reply
