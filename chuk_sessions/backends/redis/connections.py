"""Connections of redis-py, a pool for each event loop, and what happens to a call whose connection fails."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from redis import exceptions as redis_errors
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ... import exceptions as errors
from .replies import error_for
from .url import connection_options, without_secrets

logger = logging.getLogger(__name__)

Command = Sequence[str | bytes | int]

_ATTEMPTS = 4
_FIRST_PAUSE = 0.02
_REFUSED = (redis_errors.AuthenticationError, redis_errors.BusyLoadingError)
_BROKEN = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError, EOFError)


class NoScriptError(Exception):
    """The server does not know the script of an EVALSHA; nothing was run."""


class Connections:
    """Sends commands to one server. Safe to share between tasks, threads and event loops: each loop has its own pool,
    which is closed with `aclose()` or, at the latest, when the loop shuts down.
    """

    def __init__(self, url: str, *, tls_insecure: bool, timeout: float, most: int) -> None:
        self.address = without_secrets(url)
        self._options = connection_options(url, tls_insecure)
        self._timeout = timeout
        self._most = most
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopPool] = WeakKeyDictionary()

    async def call(self, command: Command, what: str, *, repeatable: bool) -> tuple[Any, bool]:
        """The reply, and whether the command may have been run before the run that gave it.

        A command that failed before it was sent is tried again; one whose reply was lost only if it is `repeatable`,
        else that is an OutcomeUnknownError. `what` names the call in messages.
        """
        flight = _Flight()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._attempts(command, what, repeatable, flight), flight.repeated
        except TimeoutError as late:
            message = f"{what}: no answer from {self.address} within {self._timeout:g} s"
            harmless = repeatable or not flight.sent
            raise (errors.SessionTimeoutError if harmless else errors.OutcomeUnknownError)(message) from late
        except redis_errors.NoScriptError:
            raise NoScriptError from None
        except redis_errors.RedisError as refused:
            code = getattr(refused, "status_code", None)
            raise error_for(f"{code} {refused}" if code else str(refused), what) from None

    async def _attempts(self, command: Command, what: str, repeatable: bool, flight: _Flight) -> Any:
        for attempt in range(_ATTEMPTS):
            try:
                flight.repeated = flight.sent
                return await self._pool().call(command, flight)
            except _NotSentError as failure:
                cause: BaseException | None = failure.__cause__
            except _REFUSED:
                raise
            except _BROKEN as failure:
                cause = failure
                if not repeatable:
                    raise errors.OutcomeUnknownError(f"{what}: the reply was lost") from failure
            if attempt < _ATTEMPTS - 1:
                await asyncio.sleep(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1))
        raise errors.SessionUnavailableError(f"{what}: no connection to {self.address}") from cause

    async def aclose(self) -> None:
        """Close the running loop's pool. Calls under way end as they would; a later call opens a new pool."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.aclose()

    def _pool(self) -> _LoopPool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools[loop] = _LoopPool(self._options, self._most, self._timeout)
        return pool


@dataclass(slots=True)
class _Flight:
    """How far a call has come: whether the server may have it, and whether it may have had it before this attempt."""

    sent: bool = False
    repeated: bool = False


class _NotSentError(Exception):
    """No connection was to be had, so nothing was sent."""


class _LoopPool:
    """The pool of one event loop."""

    def __init__(self, options: dict[str, Any], most: int, timeout: float) -> None:
        self._pool = BlockingConnectionPool(
            max_connections=most,
            timeout=timeout,
            socket_timeout=None,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            **options,
        )
        self._closed = False
        self._keeper: AsyncGenerator[None] | None = None

    async def call(self, command: Command, flight: _Flight) -> Any:
        """Send one command and read its reply."""
        await self._keep()
        try:
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        except _REFUSED:
            raise
        except _BROKEN as failure:
            raise _NotSentError from failure
        done, flight.sent = False, True
        try:
            await connection.send_command(*command)
            reply = await connection.read_response()
            done = True
            return reply
        except redis_errors.ResponseError:
            done = True
            raise
        finally:
            # A connection with a reply still to come would give it to the next caller.
            if not done or self._closed:
                await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def aclose(self) -> None:
        """Close idle connections now and busy ones when their calls end."""
        self._closed = True
        await self._pool.disconnect(inuse_connections=False)

    async def _keep(self) -> None:
        """A loop that shuts down in order closes its asynchronous generators: that closes this pool, too."""
        if self._keeper is None:
            self._keeper = self._close_at_end()
            await anext(self._keeper)

    async def _close_at_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self._pool.disconnect()
