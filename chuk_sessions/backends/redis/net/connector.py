"""The connector: it lets redis-py open a connection, and then hands the transport to a `Connection` of this package.

redis-py connects and does TLS, HELLO, AUTH and SELECT. Then its transport gets another protocol, and redis-py never
reads or writes again: its own `disconnect()` would wait forever. In this module, `redis_py` is redis-py's module, a
`redis_py_connection` is redis-py's connection, and a `connection` is this package's `Connection`.

This is the only module that uses redis-py's internals. It relies on `Connection._writer`, `_reader` and
`_parser._reader`, which the range of redis-py versions in pyproject.toml has, and on asyncio's
`StreamWriter._transport` and `StreamReader._buffer`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from redis import exceptions as redis_errors
from redis.asyncio import connection as redis_py
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ..options import Address, Options
from .connection import Connection
from .probe import keepalive_options
from .resp import NotSentError, ReplyError
from .tls import TlsContexts
from .tracked_connection import TrackedConnection

_REFUSALS = (redis_errors.ResponseError, redis_errors.AuthenticationError, redis_errors.BusyLoadingError)
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_PERHAPS_TLS = ("Connection closed by server", "Connection lost", "Protocol error", "reset by peer")
_SPEAKS_TLS = "does the port speak TLS? Without TLS the URL begins with redis://"
_NO_RESP3 = ("unknown command", "NOPROTO", "unsupported protocol")

_Handshake = Callable[[redis_py.AbstractConnection], Awaitable[None]]


class Connector:
    """The opener of connections to one address. It remembers what the first connection showed: whether the server has
    RESP3, and whether it speaks TLS.

    Attributes:
        address: the server's address.
        protocol: the version of RESP that the next connection speaks, or the last one has spoken.

    """

    def __init__(self, address: Address, options: Options) -> None:
        self.address = address
        self._options = options
        self.protocol = options.protocol or 3
        self._tls = None if options.tls is None else TlsContexts(dict(options.tls))
        self._tls_unproven = True

    @property
    def timeout_hint(self) -> str:
        """A likely reason for a timeout while connecting: a server without TLS waits for the rest of a line."""
        return f"; {_SPEAKS_TLS}" if self._options.tls is not None and self._tls_unproven else ""

    async def connect(self, connection: Connection | TrackedConnection) -> None:
        """Connect, log in, and hand the transport to `connection`.

        Raises NotSentError if there is no connection within `connect_timeout`, and ReplyError if the server refuses it.
        """
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                redis_py_connection = await self._open_with_any_protocol()
        except redis_errors.RedisError as error:
            raise self._error_for(error) from error
        except TimeoutError:
            message = f"no connection within {self._options.connect_timeout:g} s{self.timeout_hint}"
            raise NotSentError(message) from None
        except Exception as error:  # for example an error of a credential provider
            raise NotSentError(_with_hint(error, self._options.tls is not None)) from error
        _hand_over(redis_py_connection, connection)

    async def _open_with_any_protocol(self) -> redis_py.AbstractConnection:
        """Open a connection with RESP3. If the server does not have it, use RESP2 from now on."""
        try:
            return await self._open()
        except redis_errors.RedisError as error:
            may_fall_back = self._options.protocol is None and self.protocol == 3
            if not may_fall_back or not any(sign in str(error) for sign in _NO_RESP3):
                raise
        self.protocol = 2
        return await self._open()

    async def _open(self) -> redis_py.AbstractConnection:
        writers: list[asyncio.StreamWriter | None] = []

        async def handshake(redis_py_connection: redis_py.AbstractConnection) -> None:
            writers.append(redis_py_connection._writer)
            self._tls_unproven = False
            await redis_py_connection.on_connect()

        redis_py_connection = self._new_redis_py_connection(handshake)
        if self._tls is not None and isinstance(redis_py_connection, redis_py.SSLConnection):
            await self._tls.apply(redis_py_connection)
        try:
            await redis_py_connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            # redis-py does not close, or closes gracefully, which a server that hangs can delay for long.
            for writer in (*writers, redis_py_connection._writer):
                if writer is not None:
                    _detach(redis_py_connection, writer).abort()
            raise
        return redis_py_connection

    def _new_redis_py_connection(self, handshake: _Handshake) -> redis_py.AbstractConnection:
        options, address = self._options, self.address
        common: dict[str, Any] = {
            "db": options.db,
            "username": options.username,
            "password": options.password,
            "credential_provider": options.credentials,
            "protocol": self.protocol,
            "socket_timeout": None,
            "socket_connect_timeout": options.connect_timeout,
            "retry": Retry(NoBackoff(), 0),
            "redis_connect_func": handshake,
            "maint_notifications_config": None,
        }
        if address.path:
            return redis_py.UnixDomainSocketConnection(path=address.path, **common)
        common |= {"host": address.host, "port": address.port, "socket_keepalive": options.keepalive}
        common["socket_keepalive_options"] = keepalive_options(options.call_timeout)
        if options.tls is None:
            return redis_py.Connection(**common)
        return redis_py.SSLConnection(**common, **dict(options.tls))

    def _error_for(self, error: redis_errors.RedisError) -> Exception:
        """Return a ReplyError for a refusal of the server, else a NotSentError."""
        if not isinstance(error, _REFUSALS):
            return NotSentError(_with_hint(error, self._options.tls is not None))
        code = getattr(error, "status_code", None)
        refusal = ReplyError(f"{code} {error}" if code else str(error))
        refusal.server = str(self.address)
        return refusal


class _ClosedTransport(asyncio.Transport):
    """The transport of a StreamWriter that must not touch the real one any more."""

    def is_closing(self) -> bool:
        return True

    def abort(self) -> None:
        pass


_CLOSED_TRANSPORT = _ClosedTransport()


def _detach(redis_py_connection: redis_py.AbstractConnection, writer: asyncio.StreamWriter) -> asyncio.Transport:
    """Return the writer's transport. Separate it from the writer and from redis-py, whose finalizers would close it and
    issue warnings.
    """
    transport = cast(asyncio.Transport, writer.transport)
    redis_py_connection._writer = redis_py_connection._reader = None
    writer._transport = _CLOSED_TRANSPORT  # type: ignore[attr-defined]
    return transport


def _hand_over(redis_py_connection: redis_py.AbstractConnection, connection: Connection | TrackedConnection) -> None:
    """Give the transport, and the bytes that redis-py has received but not parsed, to the connection."""
    writer, reader = redis_py_connection._writer, redis_py_connection._reader
    parser = redis_py_connection._parser._reader  # type: ignore[attr-defined]
    assert writer is not None
    assert reader is not None
    transport = _detach(redis_py_connection, writer)
    # A transport reports only once that its peer has closed. Here it has already reported that to redis-py.
    if parser.has_data() or reader.at_eof() or transport.is_closing():
        transport.abort()
        raise NotSentError("the connection broke while it was opened")
    connection.connection_made(transport)
    transport.set_protocol(connection)
    unparsed = bytes(reader._buffer)  # type: ignore[attr-defined]
    transport.resume_reading()
    if unparsed:
        connection.data_received(unparsed)


def _with_hint(error: Exception, tls: bool) -> str:
    """Return the error's text, and a hint if one side seems to speak TLS and the other one does not."""
    text = str(error) or type(error).__name__
    if tls and any(sign in f"{text} {error.__cause__}" for sign in _NOT_TLS):
        return f"{text}: {_SPEAKS_TLS}"
    if not tls and any(sign in text for sign in _PERHAPS_TLS):
        return f"{text.rstrip('.')}: if the port expects TLS, the URL begins with rediss://"
    return text
