"""A node and its connections on their own: groups of commands, internal calls, deadlines, and unsent calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from chuk_sessions.backends.redis.net.node import Address, Node, NotSentError, Options, ReplyError, ReplyLostError
from chuk_sessions.exceptions import NotReplicatedError
from tests.harness.servers import Server
from tests.redis.tools import soon, until

HOLD = ((b"BLPOP", b"nothing-comes-here", b"0.2"),)
HOLD_FOR_LONG = ((b"BLPOP", b"nothing-comes-here", b"30"),)


@pytest.fixture
async def node(server: Server) -> AsyncIterator[Node]:
    node = Node(Address("127.0.0.1", server.port), Options(max_in_flight=2))
    assert await node.call(((b"ECHO", b"first"),), soon()) == b"first"
    yield node
    await node.aclose()


@pytest.fixture
async def impatient(server: Server) -> AsyncIterator[Node]:
    """Return a node that closes a connection on which nothing arrives for 0.2 seconds."""
    node = Node(Address("127.0.0.1", server.port), Options(call_timeout=0.2))
    assert await node.call(((b"ECHO", b"first"),), soon()) == b"first"
    yield node
    await node.aclose()


async def test_no_command_is_sent_between_the_commands_of_a_group(server: Server):
    """MULTI would queue such a command, and its caller would get QUEUED as its reply."""
    node = Node(Address("127.0.0.1", server.port), Options())

    async def add() -> object:
        return await node.call(((b"MULTI",), (b"INCR", b"n"), (b"EXEC",)), soon())

    async def echo(number: int) -> object:
        return await node.call(((b"ECHO", number),), soon())

    calls = [call for number in range(500) for call in (add(), echo(number))]
    replies = await asyncio.gather(*calls)
    assert replies[0::2] == [[number + 1] for number in range(500)]
    assert replies[1::2] == [b"%d" % number for number in range(500)]
    await node.aclose()


async def test_an_error_before_the_last_command_of_a_group_is_ignored(node: Node):
    assert await node.call(((b"NONSENSE",), (b"ECHO", b"x")), soon()) == b"x"
    with pytest.raises(ReplyError) as caught:
        await node.call(((b"ECHO", b"x"), (b"NONSENSE",)), soon())
    assert caught.value.code == "ERR"
    assert node.stats().in_flight == 0


async def test_an_internal_call_ignores_the_in_flight_limit(node: Node):
    held = [asyncio.ensure_future(node.call(HOLD, soon())) for _ in range(3)]
    await until(lambda: node.stats().waiting == 1)
    inside = asyncio.ensure_future(node.call(((b"ECHO", b"x"),), soon(), internal=True))
    await asyncio.sleep(0)
    assert node.stats().waiting == 1
    assert await inside == b"x"
    assert await asyncio.gather(*held) == [None] * 3
    assert node.stats().bytes_in_flight == 0


@pytest.mark.quiet
async def test_a_later_call_with_an_earlier_deadline_fails_alone(node: Node):
    held = asyncio.ensure_future(node.call(HOLD, soon()))
    await until(lambda: node.stats().in_flight == 1)
    began = time.monotonic()
    with pytest.raises(ReplyLostError):
        await node.call(((b"ECHO", b"late"),), soon(0.05))
    assert time.monotonic() - began < 0.15
    assert await held is None
    assert await node.call(((b"ECHO", b"next"),), soon()) == b"next"
    assert node.stats().reconnects == 0
    assert node.stats().last_error is None


async def test_silence_while_the_oldest_call_is_late_closes_the_connection(impatient: Node):
    node = impatient
    late = asyncio.ensure_future(node.call(HOLD_FOR_LONG, soon(0.05)))
    other = asyncio.ensure_future(node.call(((b"ECHO", b"x"),), soon()))
    results = await asyncio.gather(late, other, return_exceptions=True)
    assert [type(result) for result in results] == [ReplyLostError, ReplyLostError]
    assert node.stats().connections == 0
    assert await node.call(((b"ECHO", b"next"),), soon()) == b"next"
    assert node.stats().reconnects == 1


async def test_a_late_oldest_call_fails_alone_while_replies_arrive(node: Node):
    late = asyncio.ensure_future(node.call(HOLD, soon(0.05)))
    other = asyncio.ensure_future(node.call(((b"ECHO", b"x"),), soon()))
    with pytest.raises(ReplyLostError):
        await late
    assert await other == b"x"
    assert node.stats().reconnects == 0


async def test_a_canceled_call_without_a_reply_still_closes_the_connection(impatient: Node):
    node = impatient
    late = asyncio.ensure_future(node.call(HOLD_FOR_LONG, soon(0.05)))
    await until(lambda: node.stats().in_flight == 1)
    late.cancel()
    await until(lambda: node.stats().connections == 0)
    assert node.stats().in_flight == 0


async def test_calls_that_were_not_sent_when_a_connection_closes_raise_not_sent(node: Node):
    sent = asyncio.ensure_future(node.call(HOLD, soon()))
    await until(lambda: node.stats().in_flight == 1)
    await asyncio.sleep(0)
    unsent = asyncio.ensure_future(node.call(((b"ECHO", b"x"),), soon()))
    asyncio.get_running_loop().call_soon(node.abort)
    results = await asyncio.gather(sent, unsent, return_exceptions=True)
    assert [type(result) for result in results] == [ReplyLostError, NotSentError]
    with pytest.raises(NotSentError):
        await node.call(((b"ECHO", b"x"),), soon())


async def test_closing_a_node_while_it_connects(server: Server):
    node = Node(Address("127.0.0.1", server.port), Options())
    calls = [asyncio.ensure_future(node.call(((b"ECHO", b"x"),), soon())) for _ in range(5)]
    await asyncio.sleep(0)
    await node.aclose()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {NotSentError}
    assert node.stats().in_flight == 0


async def test_a_command_that_cannot_be_packed_leaves_no_state(node: Node):
    with pytest.raises(UnicodeEncodeError):
        await node.call(((b"ECHO", "\ud800"),), soon())
    assert node.stats().in_flight == 0


async def test_a_replacement_continues_the_count_of_reconnects_of_all_connections(server: Server):
    node = Node(Address("127.0.0.1", server.port), Options(wait_replicas=1, wait_timeout=0.01))
    for _ in range(3):
        with pytest.raises(NotReplicatedError):
            await node.call_durably(((b"SET", b"a", b"b"),), soon())
        for connection in node.open_connections():
            connection.abort(ConnectionResetError("lost"))
    assert node.stats().reconnects == 2
    assert node.replacement().stats().reconnects == 2
    await node.aclose()
