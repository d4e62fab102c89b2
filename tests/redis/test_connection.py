"""A connection on its own: data that the server does not read, reasons for closing, and canceled or late calls."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from chuk_sessions.backends.redis.net.connection import Connection
from chuk_sessions.backends.redis.net.limiter import InFlightLimiter
from chuk_sessions.backends.redis.net.orphans import close_orphan
from chuk_sessions.backends.redis.net.resp import NotSentError, ProtocolError, ReplyLostError, pack
from tests.conftest import bundled
from tests.harness.servers import running
from tests.redis.tools import soon, until

CHUNK = b"x" * 1_000_000
HIGH_WATER = 64 * 1024
MUTE = pack((b"PING",))


class Peers:
    """A connection and its other end, which the test controls as the server."""

    def __init__(self, connection: Connection, transport: asyncio.Transport, other: socket.socket) -> None:
        self.connection, self.transport, self.other = connection, transport, other

    async def reply(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.other, data)


@pytest.fixture
async def pair() -> AsyncIterator[Peers]:
    async with pair_of(0.0) as pair:
        yield pair


@pytest.fixture
async def patient() -> AsyncIterator[Peers]:
    """Return a connection that closes when nothing arrives for 0.3 seconds."""
    async with pair_of(0.3) as pair:
        yield pair


@asynccontextmanager
async def pair_of(patience: float) -> AsyncIterator[Peers]:
    ours, other = socket.socketpair()
    other.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, connection = await loop.create_connection(
        lambda: Connection(InFlightLimiter(10, 10**6), patience), sock=ours
    )
    with closing(other):
        yield Peers(connection, transport, other)
        connection.abort(ConnectionResetError("the test is over"))
        await connection.wait_closed()


async def test_data_that_the_server_does_not_read_waits_and_is_sent_later(pair: Peers):
    pair.connection.send(CHUNK, soon())
    await until(lambda: pair.transport.get_write_buffer_size() > HIGH_WATER)
    held = pair.transport.get_write_buffer_size()
    future = pair.connection.send(CHUNK, soon())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert pair.transport.get_write_buffer_size() <= held
    received = 0
    while received < 2 * len(CHUNK):
        received += len(await asyncio.get_running_loop().sock_recv(pair.other, 1 << 20))
    await pair.reply(b"+a\r\n+b\r\n")
    assert await future == b"b"


async def test_every_call_learns_at_once_why_the_connection_closed(pair: Peers):
    future = pair.connection.send(MUTE, soon())
    await asyncio.sleep(0)
    pair.other.shutdown(socket.SHUT_WR)
    with pytest.raises(ReplyLostError, match=r"^the server closed the connection$") as caught:
        await future
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert pair.connection.close_reason is caught.value.__cause__


async def test_an_eof_closes_the_connection(pair: Peers):
    """It does not wait until the transport reports that the socket is closed."""
    pair.connection.eof_received()
    assert re.fullmatch("the server closed the connection", str(pair.connection.close_reason))


async def test_a_late_call_fails_with_a_timeout(pair: Peers):
    with pytest.raises(ReplyLostError, match=r"^no reply in time$"):
        await pair.connection.send(MUTE, soon(0.01))
    assert isinstance(pair.connection.close_reason, TimeoutError)
    assert str(pair.connection.close_reason) == "no reply in time"


async def test_a_connection_on_which_bytes_arrive_stays_open(patient: Peers):
    """A slow reply costs its own caller the outcome, and no other."""
    late = patient.connection.send(MUTE, soon(0.05))
    other = patient.connection.send(MUTE, soon())
    await patient.reply(b"$1000\r\n")
    for _ in range(100):
        await patient.reply(b"x" * 10)
        await asyncio.sleep(0.005)
    with pytest.raises(ReplyLostError, match=r"^no reply in time$"):
        await late
    assert patient.connection.close_reason is None
    await patient.reply(b"\r\n+other\r\n")
    assert await other == b"other"


async def test_silence_closes_the_connection_even_if_late_calls_have_failed_before(patient: Peers):
    late = patient.connection.send(MUTE, soon(0.05))
    other = patient.connection.send(MUTE, soon())
    await patient.reply(b"$1000\r\nx")
    with pytest.raises(ReplyLostError):
        await late
    with pytest.raises(ReplyLostError):
        await other
    assert isinstance(patient.connection.close_reason, TimeoutError)


async def test_calls_that_are_late_before_they_could_be_sent_are_never_sent(pair: Peers):
    """The server does not read meanwhile. Commands that the connection itself queues are sent all the same."""
    pair.connection.send(CHUNK, soon())
    await until(lambda: pair.transport.get_write_buffer_size() > HIGH_WATER)
    pair.connection.queue_ignoring_reply(b"ahead", soon(0.02))
    late = pair.connection.send(b"late", soon(0.02), skip=2)
    later = pair.connection.send(b"later", soon())
    with pytest.raises(NotSentError, match=r"^there was no time left to send it$"):
        await late
    received = b""
    while not received.endswith(b"later"):
        received += await asyncio.get_running_loop().sock_recv(pair.other, 1 << 20)
    assert received == CHUNK + b"aheadlater"
    await pair.reply(b"+chunk\r\n+ahead\r\n+later\r\n")
    assert await later == b"later"
    assert pair.connection.in_flight == 0


async def test_no_reply_is_awaited_if_the_last_call_was_never_sent():
    connection = Connection(InFlightLimiter(10, 10**6))
    late = connection.send(MUTE, soon(0.02))
    await asyncio.wait_for(connection.wait_for_replies(), 5.0)
    with pytest.raises(NotSentError):
        await late


async def test_late_calls_without_a_waiting_caller_do_not_close_the_connection(pair: Peers):
    oldest = pair.connection.send(MUTE, soon())
    left = pair.connection.send(MUTE, soon(0.01))
    left.cancel()
    pair.connection.queue_ignoring_reply(MUTE, soon(0.01))
    with pytest.raises(ReplyLostError, match=r"^no reply in time$"):
        await pair.connection.send(MUTE, soon(0.02))
    assert pair.connection.close_reason is None
    await pair.reply(b"+first\r\n+second\r\n+third\r\n+fourth\r\n")
    assert await oldest == b"first"
    assert pair.connection.in_flight == 0


async def test_each_call_is_late_at_its_own_deadline(pair: Peers):
    oldest = pair.connection.send(MUTE, soon())
    late = [pair.connection.send(MUTE, soon(after)) for after in (0.6, 0.2, 0.4)]
    order: list[int] = []
    for index, future in enumerate(late):
        future.add_done_callback(lambda _, index=index: order.append(index))  # type: ignore[misc]
    results = await asyncio.gather(*late, return_exceptions=True)
    assert [str(result) for result in results] == ["no reply in time"] * 3
    assert order == [1, 2, 0]
    assert not oldest.done()


@pytest.mark.parametrize(("calls", "burst", "most"), [(20, 1, 2), (80, 40, 33)], ids=["one by one", "bursts"])
async def test_a_suspended_server_gets_no_more_than_the_transport_buffers(calls: int, burst: int, most: int):
    with running(bundled()) as server:
        assert server.folder is not None
        connection = Connection(InFlightLimiter(10, 10**6))
        transport, _ = await asyncio.get_running_loop().create_unix_connection(
            lambda: connection, str(server.folder / "socket")
        )
        server.signal(signal.SIGSTOP)
        futures = []
        for number in range(1, calls + 1):
            futures.append(connection.send(pack((b"ECHO", CHUNK)), soon(20)))
            if number % burst == 0:
                await asyncio.sleep(0)
        assert transport.get_write_buffer_size() < most * len(CHUNK)
        server.signal(signal.SIGCONT)
        assert await asyncio.gather(*futures) == [CHUNK] * calls
        connection.abort(ConnectionResetError("the test is over"))
        await connection.wait_closed()


async def test_a_protocol_error_closes_the_connection(pair: Peers):
    future = pair.connection.send(MUTE, soon())
    await pair.reply(b"?what\r\n")
    with pytest.raises(ReplyLostError):
        await future
    assert isinstance(pair.connection.close_reason, ProtocolError)


async def test_a_reply_without_a_request_closes_the_connection(pair: Peers):
    """Otherwise all later replies would go to the wrong callers."""
    await pair.reply(b"+one\r\n+more\r\n")
    await until(lambda: pair.connection.close_reason is not None)


async def test_data_after_closing_is_ignored(pair: Peers):
    why = ConnectionResetError("why")
    future = pair.connection.send(MUTE, soon())
    pair.connection.abort(why)
    pair.connection.data_received(b"+late\r\n")
    with pytest.raises(NotSentError, match="why"):
        await future
    assert pair.connection.close_reason is why


async def test_a_connection_that_never_opened_fails_its_calls():
    connection = Connection(InFlightLimiter(10, 10**6))
    future = connection.send(MUTE, soon())
    connection.abort(ConnectionAbortedError("closed"))
    with pytest.raises(NotSentError, match="closed"):
        await future


def test_after_its_loop_was_closed_a_connection_closes_its_socket_and_drops_its_calls():
    ours, other = socket.socketpair()

    async def open_() -> tuple[asyncio.Transport, Connection]:
        transport, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(InFlightLimiter(10, 10**6)), sock=ours
        )
        connection.send(MUTE, soon())
        return transport, connection

    loop = asyncio.new_event_loop()
    transport, connection = loop.run_until_complete(open_())
    loop.close()
    why = ConnectionAbortedError("closed")
    with closing(other):
        connection.abort(why)
        assert ours.fileno() < 0
        other.settimeout(5)
        assert other.recv(100) in (b"", MUTE)
        close_orphan(transport)
    assert connection.close_reason is why
    assert connection.in_flight == 0


def test_after_its_loop_was_closed_an_unopened_connection_has_nothing_to_close():
    loop = asyncio.new_event_loop()

    async def create() -> Connection:
        return Connection(InFlightLimiter(10, 10**6))

    connection = loop.run_until_complete(create())
    loop.close()
    connection.abort(ConnectionAbortedError("closed"))
    assert isinstance(connection.close_reason, ConnectionAbortedError)
