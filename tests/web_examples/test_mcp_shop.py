"""The example of an MCP server: conversations with agents survive restarts of the server and of the store."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

import pytest

from tests.web_examples.shops import MCP_SHOP, WORKERS, running
from tests.web_examples.waiting import PAUSE, TIMEOUT, until

LIMIT = 3
AGENTS = 4
ADDITIONS = 5
"""Items that each agent adds before the outage, and after it."""
SETTINGS = {"FASTMCP_STATELESS_HTTP": "1", "FASTMCP_LOG_LEVEL": "CRITICAL"}
"""Without the log level, FastMCP spends seconds on colorful tracebacks."""


class Agent:
    """A client with one conversation."""

    def __init__(self, client, session_id):
        self._client = client
        self.session_id = session_id

    async def call(self, tool, **arguments):
        """Call a tool. Raises ToolError if it fails."""
        result = await self._client.call_tool(tool, {"session_id": self.session_id, **arguments})
        return result.structured_content

    async def cart(self):
        found = await self.call("cart")
        return found["user"], found["items"]


@asynccontextmanager
async def agent(port, session_id=None):
    """Connect to the shop, and continue a conversation, or begin a new one."""
    from fastmcp import Client

    async with Client(f"http://127.0.0.1:{port}/mcp", timeout=TIMEOUT) as client:
        if session_id is None:
            session_id = (await client.call_tool("create_session")).data
        yield Agent(client, session_id)


@pytest.fixture(scope="module")
def port(store):
    with running(MCP_SHOP, store, **SETTINGS) as (port, _):
        yield port


async def workers_of(port, session_id):
    """Return the process ids of all workers, each of which has continued the conversation."""
    workers = set()
    async with asyncio.timeout(TIMEOUT):
        while len(workers) < WORKERS:
            async with agent(port, session_id) as one:
                workers.add((await one.call("cart"))["worker"])
    return workers


def is_running(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


class Buyer:
    """An agent that adds items, and notes which ones the shop has accepted."""

    def __init__(self, agent, user):
        self.agent = agent
        self.user = user
        self.has = []
        self.refused = []
        self.is_done = False

    async def buy(self):
        from fastmcp.exceptions import ToolError

        for number in count():
            if self.is_done:
                break
            item = f"item {number} of {self.user}"
            try:
                await self.agent.call("add", item=item)
                self.has.append(item)
            except ToolError:
                self.refused.append(item)
                await asyncio.sleep(PAUSE)


async def test_all_workers_continue_a_conversation(port):
    async with agent(port) as one:
        await one.call("add", item="book")
        await one.call("login", user="alice")
        await workers_of(port, one.session_id)
        assert await one.cart() == ("alice", ["book"])


async def test_conversations_are_logged_out_one_by_one_and_all_at_once(port):
    async with agent(port) as first, agent(port) as second, agent(port) as third:
        for one in (first, second, third):
            await one.call("login", user="carol")
        await third.call("logout")
        assert await third.cart() == (None, [])
        assert await first.call("logout_others") == {"revoked": 1}
        assert [await one.cart() for one in (first, second)] == [("carol", []), (None, [])]


async def test_agents_are_limited(port):
    from fastmcp.exceptions import ToolError

    async with agent(port) as one:
        assert [await one.call("checkout") for _ in range(LIMIT)] == [{"remaining": n} for n in (2, 1, 0)]
        with pytest.raises(ToolError, match=r"Try again in \d+ seconds"):
            await one.call("checkout")


async def test_an_unknown_conversation_is_refused(port):
    from fastmcp.exceptions import ToolError

    async with agent(port, "made up") as one:
        with pytest.raises(ToolError):
            await one.cart()


async def test_a_killed_store_takes_nothing_away(port, mortal_store):
    async with AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(agent(port)) for _ in range(AGENTS)]
        buyers = [Buyer(one, f"user-{number}") for number, one in enumerate(agents)]
        await asyncio.gather(*(buyer.agent.call("login", user=buyer.user) for buyer in buyers))
        tasks = [asyncio.create_task(buyer.buy()) for buyer in buyers]
        await until(lambda: all(len(buyer.has) >= ADDITIONS for buyer in buyers))
        mortal_store.kill()
        await until(lambda: all(buyer.refused for buyer in buyers))
        await asyncio.to_thread(mortal_store.restart)
        before = {buyer: len(buyer.has) for buyer in buyers}
        await until(lambda: all(len(buyer.has) >= before[buyer] + ADDITIONS for buyer in buyers))
        for buyer in buyers:
            buyer.is_done = True
        await asyncio.gather(*tasks)
        for buyer in buyers:
            user, items = await buyer.agent.cart()
            assert user == buyer.user
            assert len(items) == len(set(items))
            assert set(buyer.has) <= set(items) <= {*buyer.has, *buyer.refused}


async def test_a_conversation_survives_restarts_of_store_and_server(port, mortal_store):
    async with agent(port) as one:
        await one.call("login", user="alice")
        await one.call("add", item="book")
    workers = await workers_of(port, one.session_id)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    mortal_store.kill()
    mortal_store.restart()
    await until(lambda: not any(map(is_running, workers)))  # uvicorn then starts others
    assert not await workers_of(port, one.session_id) & workers
    async with agent(port, one.session_id) as again:
        assert await again.cart() == ("alice", ["book"])
