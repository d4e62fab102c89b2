"""A link by itself: what a server does not take, how it ends, and calls whose callers have left."""

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
from tests.redis.tools import until

CHUNK = b"x" * 1_000_000
HIGH_WATER = 64 * 1024
MUTE = pack((b"PING",))


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


class Pair:
    """A link, and the other end of its connection, which says what it is told to."""

    def __init__(self, link: Connection, transport: asyncio.Transport, other: socket.socket) -> None:
        self.link, self.transport, self.other = link, transport, other

    async def say(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.other, data)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with pair_of(0.0) as pair:
        yield pair


@pytest.fixture
async def patient() -> AsyncIterator[Pair]:
    """Ends when nothing arrives for 0.3 seconds."""
    async with pair_of(0.3) as pair:
        yield pair


@asynccontextmanager
async def pair_of(patience: float) -> AsyncIterator[Pair]:
    ours, other = socket.socketpair()
    other.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, link = await loop.create_connection(lambda: Connection(InFlightLimiter(10, 10**6), patience), sock=ours)
    with closing(other):
        yield Pair(link, transport, other)
        link.abort(ConnectionResetError("the test is over"))
        await link.wait_closed()


async def test_what_the_other_side_does_not_take_waits_in_the_link_and_goes_out_later(pair: Pair):
    pair.link.send(CHUNK, soon())
    await until(lambda: pair.transport.get_write_buffer_size() > HIGH_WATER)
    held = pair.transport.get_write_buffer_size()
    future = pair.link.send(CHUNK, soon())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert pair.transport.get_write_buffer_size() <= held
    received = 0
    while received < 2 * len(CHUNK):
        received += len(await asyncio.get_running_loop().sock_recv(pair.other, 1 << 20))
    await pair.say(b"+a\r\n+b\r\n")
    assert await future == b"b"


async def test_why_it_ended_is_known_at_once_and_by_every_call(pair: Pair):
    future = pair.link.send(MUTE, soon())
    await asyncio.sleep(0)
    pair.other.shutdown(socket.SHUT_WR)
    with pytest.raises(ReplyLostError, match=r"^the server closed the connection$") as caught:
        await future
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert pair.link.close_reason is caught.value.__cause__


async def test_the_end_of_what_it_has_received_ends_it(pair: Pair):
    """Without waiting for the transport to say that the socket is closed."""
    pair.link.eof_received()
    assert re.fullmatch("the server closed the connection", str(pair.link.close_reason))


async def test_a_late_call_says_so(pair: Pair):
    with pytest.raises(ReplyLostError, match=r"^no answer in time$"):
        await pair.link.send(MUTE, soon(0.01))
    assert isinstance(pair.link.close_reason, TimeoutError)
    assert str(pair.link.close_reason) == "no answer in time"


async def test_bytes_that_keep_arriving_are_a_sign_of_life(patient: Pair):
    """A reply that takes long on its way costs its own caller the outcome, and nobody else."""
    late = patient.link.send(MUTE, soon(0.05))
    other = patient.link.send(MUTE, soon())
    await patient.say(b"$1000\r\n")
    for _ in range(100):
        await patient.say(b"x" * 10)
        await asyncio.sleep(0.005)
    with pytest.raises(ReplyLostError, match=r"^no answer in time$"):
        await late
    assert patient.link.close_reason is None
    await patient.say(b"\r\n+other\r\n")
    assert await other == b"other"


async def test_silence_ends_it_even_when_late_calls_have_failed_before(patient: Pair):
    late = patient.link.send(MUTE, soon(0.05))
    other = patient.link.send(MUTE, soon())
    await patient.say(b"$1000\r\nx")
    with pytest.raises(ReplyLostError):
        await late
    with pytest.raises(ReplyLostError):
        await other
    assert isinstance(patient.link.close_reason, TimeoutError)


async def test_calls_that_are_late_before_they_could_be_sent_never_are(pair: Pair):
    """While the other side does not read. What is sent ahead of calls goes out all the same."""
    pair.link.send(CHUNK, soon())
    await until(lambda: pair.transport.get_write_buffer_size() > HIGH_WATER)
    pair.link.queue_ignoring_reply(b"ahead", soon(0.02))
    late = pair.link.send(b"late", soon(0.02), skip=2)
    later = pair.link.send(b"later", soon())
    with pytest.raises(NotSentError, match=r"^there was no time left to send it$"):
        await late
    received = b""
    while not received.endswith(b"later"):
        received += await asyncio.get_running_loop().sock_recv(pair.other, 1 << 20)
    assert received == CHUNK + b"aheadlater"
    await pair.say(b"+chunk\r\n+ahead\r\n+later\r\n")
    assert await later == b"later"
    assert pair.link.in_flight == 0


async def test_it_is_drained_when_the_last_call_was_late_before_it_could_be_sent():
    link = Connection(InFlightLimiter(10, 10**6))
    late = link.send(MUTE, soon(0.02))
    await asyncio.wait_for(link.wait_for_replies(), 5.0)
    with pytest.raises(NotSentError):
        await late


async def test_younger_calls_that_nobody_waits_for_any_more_or_ever_did_do_no_harm_when_they_are_late(pair: Pair):
    oldest = pair.link.send(MUTE, soon())
    left = pair.link.send(MUTE, soon(0.01))
    left.cancel()
    pair.link.queue_ignoring_reply(MUTE, soon(0.01))
    with pytest.raises(ReplyLostError, match=r"^no answer in time$"):
        await pair.link.send(MUTE, soon(0.02))
    assert pair.link.close_reason is None
    await pair.say(b"+first\r\n+second\r\n+third\r\n+fourth\r\n")
    assert await oldest == b"first"
    assert pair.link.in_flight == 0


async def test_calls_are_late_by_their_own_deadlines_one_after_another(pair: Pair):
    oldest = pair.link.send(MUTE, soon())
    late = [pair.link.send(MUTE, soon(after)) for after in (0.06, 0.02, 0.04)]
    ended: list[int] = []
    for place, future in enumerate(late):
        future.add_done_callback(lambda _, place=place: ended.append(place))  # type: ignore[misc]
    results = await asyncio.gather(*late, return_exceptions=True)
    assert [str(result) for result in results] == ["no answer in time"] * 3
    assert ended == [1, 2, 0]
    assert not oldest.done()


@pytest.mark.parametrize(("calls", "a_turn", "most"), [(20, 1, 2), (80, 40, 33)], ids=["one a turn", "bursts"])
async def test_a_server_that_stands_still_gets_no_more_than_the_transport_holds(calls: int, a_turn: int, most: int):
    with running(bundled()) as server:
        assert server.folder is not None
        link = Connection(InFlightLimiter(10, 10**6))
        transport, _ = await asyncio.get_running_loop().create_unix_connection(
            lambda: link, str(server.folder / "socket")
        )
        server.signal(signal.SIGSTOP)
        futures = []
        for number in range(1, calls + 1):
            futures.append(link.send(pack((b"ECHO", CHUNK)), soon(20)))
            if number % a_turn == 0:
                await asyncio.sleep(0)
        assert transport.get_write_buffer_size() < most * len(CHUNK)
        server.signal(signal.SIGCONT)
        assert await asyncio.gather(*futures) == [CHUNK] * calls
        link.abort(ConnectionResetError("the test is over"))
        await link.wait_closed()


async def test_what_is_not_the_protocol_ends_it(pair: Pair):
    future = pair.link.send(MUTE, soon())
    await pair.say(b"?what\r\n")
    with pytest.raises(ReplyLostError):
        await future
    assert isinstance(pair.link.close_reason, ProtocolError)


async def test_a_reply_that_nobody_has_asked_for_ends_it(pair: Pair):
    """Or all that come behind it would go to the wrong callers."""
    await pair.say(b"+one\r\n+more\r\n")
    await until(lambda: pair.link.close_reason is not None)


async def test_what_comes_behind_its_end_is_for_nobody(pair: Pair):
    why = ConnectionResetError("why")
    future = pair.link.send(MUTE, soon())
    pair.link.abort(why)
    pair.link.data_received(b"+late\r\n")
    with pytest.raises(NotSentError, match="why"):
        await future
    assert pair.link.close_reason is why


async def test_one_that_never_had_a_connection_fails_its_calls():
    link = Connection(InFlightLimiter(10, 10**6))
    future = link.send(MUTE, soon())
    link.abort(ConnectionAbortedError("closed"))
    with pytest.raises(NotSentError, match="closed"):
        await future


def test_one_whose_loop_was_closed_closes_its_socket_and_forgets_its_calls():
    ours, other = socket.socketpair()

    async def open_() -> tuple[asyncio.Transport, Connection]:
        transport, link = await asyncio.get_running_loop().create_connection(
            lambda: Connection(InFlightLimiter(10, 10**6)), sock=ours
        )
        link.send(MUTE, soon())
        return transport, link

    loop = asyncio.new_event_loop()
    transport, link = loop.run_until_complete(open_())
    loop.close()
    why = ConnectionAbortedError("closed")
    with closing(other):
        link.abort(why)
        assert ours.fileno() < 0
        other.settimeout(5)
        assert other.recv(100) in (b"", MUTE)
        close_orphan(transport)
    assert link.close_reason is why
    assert link.in_flight == 0


def test_one_whose_loop_was_closed_before_it_had_a_connection_has_nothing_to_close():
    loop = asyncio.new_event_loop()

    async def make() -> Connection:
        return Connection(InFlightLimiter(10, 10**6))

    link = loop.run_until_complete(make())
    loop.close()
    link.abort(ConnectionAbortedError("closed"))
    assert isinstance(link.close_reason, ConnectionAbortedError)
