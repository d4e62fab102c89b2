"""Connections as redis-py opens them, handed over to a protocol of ours. All that touches redis-py's internals is here.

redis-py connects, does TLS, HELLO, AUTH and SELECT. Then its transport gets another protocol, and
redis-py never reads or writes again: its own `disconnect()` would wait for ever. The range of redis-py versions in
pyproject.toml belongs to what is assumed here: `Connection._writer`, `_reader` and `_parser._reader`; and asyncio's
`StreamWriter._transport` and `StreamReader._buffer`.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from redis import exceptions as redis_errors
from redis.asyncio.connection import AbstractConnection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import Connection as RedisConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ..options import Address, Options
from .connection import Connection
from .probe import keepalive_options
from .resp import NotSentError, ReplyError
from .tls import TlsContexts

_REFUSALS = (redis_errors.ResponseError, redis_errors.AuthenticationError, redis_errors.BusyLoadingError)
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_PERHAPS_TLS = ("Connection closed by server", "Connection lost", "Protocol error", "reset by peer")
_SPEAKS_TLS = "does the port speak TLS? Without TLS the URL begins with redis://"
_NO_RESP3 = ("unknown command", "NOPROTO", "unsupported protocol")


class Connector:
    """Opens connections to one address. Remembers what the first one found out.

    Attributes:
        address: of the server.

    """

    def __init__(self, address: Address, options: Options) -> None:
        self.address = address
        self._options = options
        self._protocol = options.protocol or 3
        self._tls = None if options.tls is None else TlsContexts(dict(options.tls))
        self._tls_unproven = True

    @property
    def hint(self) -> str:
        """A likely reason why opening takes too long: a server without TLS waits for the rest of a line."""
        return f"; {_SPEAKS_TLS}" if self._options.tls is not None and self._tls_unproven else ""

    async def connect(self, link: Connection) -> None:
        """Connect, log in, and give the connection to the link.

        Raises NotSentError when there is no connection to be had in time, ReplyError when the server refuses it.
        """
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                connection = await self._connected()
        except redis_errors.RedisError as failure:
            raise self._refusal(failure) from failure
        except TimeoutError:
            raise NotSentError(f"no connection within {self._options.connect_timeout:g} s{self.hint}") from None
        except Exception as failure:  # also what a credential provider may raise
            raise NotSentError(_with_hint(failure, self._options.tls is not None)) from failure
        _hand_over(connection, link)

    async def _connected(self) -> AbstractConnection:
        try:
            return await self._connect()
        except redis_errors.RedisError as failure:
            old = self._options.protocol is None and self._protocol == 3
            if not old or not any(sign in str(failure) for sign in _NO_RESP3):
                raise
        self._protocol = 2
        return await self._connect()

    async def _connect(self) -> AbstractConnection:
        opened: list[asyncio.StreamWriter | None] = []

        async def handshake(connection: AbstractConnection) -> None:
            opened.append(connection._writer)
            self._tls_unproven = False
            await connection.on_connect()

        connection = self._connection(handshake)
        if self._tls is not None and isinstance(connection, SSLConnection):
            await self._tls.apply(connection)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            # redis-py closes not at all, or in good manners, which a server that hangs can draw out for long.
            for writer in (*opened, connection._writer):
                if writer is not None:
                    _detached(connection, writer).abort()
            raise
        return connection

    def _connection(self, handshake: Any) -> AbstractConnection:
        options, address = self._options, self.address
        common: dict[str, Any] = {
            "db": options.db,
            "username": options.username,
            "password": options.password,
            "credential_provider": options.credentials,
            "protocol": self._protocol,
            "socket_timeout": None,
            "socket_connect_timeout": options.connect_timeout,
            "retry": Retry(NoBackoff(), 0),
            "redis_connect_func": handshake,
            "maint_notifications_config": None,
        }
        if address.path:
            return UnixDomainSocketConnection(path=address.path, **common)
        common |= {"host": address.host, "port": address.port, "socket_keepalive": options.keepalive}
        common["socket_keepalive_options"] = keepalive_options(options.call_timeout)
        if options.tls is None:
            return RedisConnection(**common)
        return SSLConnection(**common, **dict(options.tls))

    def _refusal(self, failure: redis_errors.RedisError) -> Exception:
        if not isinstance(failure, _REFUSALS):
            return NotSentError(_with_hint(failure, self._options.tls is not None))
        code = getattr(failure, "status_code", None)
        refusal = ReplyError(f"{code} {failure}" if code else str(failure))
        refusal.server = str(self.address)
        return refusal


class _Closed(asyncio.Transport):
    """A transport that a StreamWriter has no more business with."""

    def is_closing(self) -> bool:
        return True

    def abort(self) -> None:
        pass


_CLOSED = _Closed()


def _detached(connection: AbstractConnection, writer: asyncio.StreamWriter) -> asyncio.Transport:
    """The transport, without those who at their ends would close it and complain."""
    transport = cast(asyncio.Transport, writer.transport)
    connection._writer = connection._reader = None
    writer._transport = _CLOSED  # type: ignore[attr-defined]
    return transport


def _hand_over(connection: AbstractConnection, link: Connection) -> None:
    writer, reader, parser = connection._writer, connection._reader, connection._parser
    assert writer is not None
    assert reader is not None
    transport = _detached(connection, writer)
    # A transport whose peer has closed says so once, and that was to redis-py.
    if parser._reader.has_data() or reader.at_eof() or transport.is_closing():  # type: ignore[attr-defined]
        transport.abort()
        raise NotSentError("the connection broke as it was opened")
    link.connection_made(transport)
    transport.set_protocol(link)
    left_over = bytes(reader._buffer)  # type: ignore[attr-defined]
    transport.resume_reading()
    if left_over:
        link.data_received(left_over)


def _with_hint(failure: Exception, tls: bool) -> str:
    """Return the failure's text, and what else it can mean: one side speaks TLS, and the other does not."""
    text = str(failure) or type(failure).__name__
    if tls and any(sign in f"{text} {failure.__cause__}" for sign in _NOT_TLS):
        return f"{text}: {_SPEAKS_TLS}"
    if not tls and any(sign in text for sign in _PERHAPS_TLS):
        return f"{text.rstrip('.')}: if the port expects TLS, the URL begins with rediss://"
    return text
