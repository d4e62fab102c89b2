"""Webhooks next to the load: they say afterwards whether a message got lost."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field

from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.backends.redis.scripts import load as load_scripts
from chuk_sessions.events import WebhookEndpoints, WebhookRelay
from chuk_sessions.providers.factory import Factory
from chuk_sessions.providers.redis import RedisSession
from tests.faults.inject.server import FAST_CLOCK
from tests.harness.children import Child, running
from tests.harness.receiver import OK, Receiver, receiving, response
from tests.harness.stored_events import register_keeper, stored_events
from tests.redis.tools import until

PATIENCE = 60.0
ENDED = ("session.ended",)


@dataclass
class Webhooks:
    """The webhooks of a run.

    Attributes:
        receiver: of all messages.
        relays: processes.
        is_down: the receiver refuses messages.
        refused: how many it has refused.
        accepted: ids of those that it has accepted.

    """

    receiver: Receiver
    relays: list[Child] = field(default_factory=list)
    is_down: bool = False
    refused: int = 0
    accepted: set[str] = field(default_factory=set)

    def respond(self, _: object) -> bytes:
        """Respond as a receiver that is up, or down."""
        if self.is_down:
            self.refused += 1
            return response(500)
        self.accepted.add(self.receiver.requests[-1].id)
        return OK


runs: list[Webhooks] = []
"""The webhooks of all runs in this process; the last one is that of the present run."""


@asynccontextmanager
async def _delivering(
    url: str, source: Factory[RedisSession] | str, relay: AbstractAsyncContextManager[object], broken: list[str]
) -> AsyncIterator[Webhooks]:
    """Have an endpoint meanwhile. It must have accepted every end that the store has in the end."""
    await register_keeper(url)
    async with receiving() as receiver, WebhookEndpoints(source) as endpoints:
        run = Webhooks(receiver)
        receiver.respond = run.respond
        runs.append(run)
        await endpoints.add(receiver.url, types=ENDED, allow_private=True)
        async with relay:
            yield run
            missing = await _missing(url, run)
    if missing:
        broken.append(f"events that were not delivered: {missing}")
    if not run.accepted:
        broken.append("no event was delivered")


async def _missing(url: str, run: Webhooks) -> int:
    """Wait until every end was accepted. Return how many were not in time."""
    due = {event_id for event_id, (type_, _) in (await stored_events(url)).items() if type_ in ENDED}
    with suppress(AssertionError):
        await until(lambda: due <= run.accepted, PATIENCE)
    return len(due - run.accepted)


@asynccontextmanager
async def relayed_by_processes(url: str, broken: list[str]) -> AsyncIterator[None]:
    """Deliver webhooks meanwhile, with two relays that are processes."""
    with ExitStack() as stack:
        async with _delivering(url, url, nullcontext(), broken) as run:
            for _ in range(2):
                words = ("relay", "--url", url, "--lease", "2", "--timeout", "2")
                command = (sys.executable, "-m", "chuk_sessions.events", *words)
                run.relays.append(stack.enter_context(running(*command)))
            for child in run.relays:
                await asyncio.to_thread(child.wait_for, "the relay is running")
            yield


@asynccontextmanager
async def relayed_by_a_moved_clock(url: str, broken: list[str]) -> AsyncIterator[None]:
    """Deliver webhooks meanwhile, by the clock that the run moves."""
    backend = RedisBackend(url, loaded=load_scripts({"now": FAST_CLOCK}))
    source = Factory(backend, lambda: RedisSession(backend, 60))
    async with _delivering(url, source, WebhookRelay(source, poll_seconds=0.05), broken):
        yield
