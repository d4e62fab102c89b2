"""Scenarios with real processes and real kills: applications change sessions, two relays deliver webhooks, and
something fails. Afterwards the events in the store are compared with those that the receiver has accepted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from chuk_sessions.events import WebhookEndpoints
from tests.faults.environments import ALWAYS, Environment, OpenEnvironment, standalone
from tests.harness.children import Child, running
from tests.harness.receiver import OK, Received, receiving, response
from tests.harness.stored_events import register_keeper, stored_events

PATIENCE = 90.0


@dataclass
class Run:
    """A run of a scenario.

    Attributes:
        environment: the store.
        stack: stops the processes.
        relays, applications: processes.
        accepted: ids of messages in the order in which the receiver has accepted them.
        is_down: the receiver responds with status 500.

    """

    environment: Environment
    stack: ExitStack
    relays: list[Child] = field(default_factory=list)
    applications: list[Child] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    is_down: bool = False

    async def start_relay(self) -> None:
        """Start a relay, and return when it works."""
        command = (
            "-m",
            "chuk_sessions.events",
            "relay",
            "--url",
            self.environment.url,
            "--lease",
            "2",
            "--timeout",
            "2",
        )
        self.relays.append(self.stack.enter_context(running(sys.executable, *command)))
        await asyncio.to_thread(self.relays[-1].wait_for, "the relay is running")

    async def start_application(self) -> None:
        """Start an application, and return when it works."""
        command = ("-m", "tests.events.programs", "application", self.environment.url)
        self.applications.append(self.stack.enter_context(running(sys.executable, *command)))
        await asyncio.to_thread(self.applications[-1].wait_for, "ready")

    def respond(self, received: Received) -> bytes:
        """Accept a message, unless the receiver is down."""
        if self.is_down:
            return response(500)
        self.accepted.append(received.id)
        return OK


async def nothing(run: Run) -> None:
    """Let them work."""


async def kill_relay(run: Run) -> None:
    """Kill a relay (kill -9), and start another one."""
    run.relays[0].process.kill()
    await run.start_relay()


async def kill_application(run: Run) -> None:
    """Kill an application (kill -9), and start another one."""
    run.applications[0].process.kill()
    await run.start_application()


async def kill_server(run: Run) -> None:
    """Kill the server (kill -9), and restart it."""
    run.environment.server.kill()
    await asyncio.to_thread(run.environment.server.restart)


async def kill_each(run: Run) -> None:
    """Kill an application, a relay, and the server."""
    for kill in (kill_application, kill_relay, kill_server):
        await kill(run)


async def be_down(run: Run) -> None:
    """Respond with status 500 for two seconds."""
    run.is_down = True
    await asyncio.sleep(2)
    run.is_down = False


@dataclass(frozen=True)
class Delivery:
    """A row of the table: what fails, the store, and how it fails."""

    name: str
    environment: OpenEnvironment
    inject: Callable[[Run], Awaitable[None]]


DELIVERIES = (
    Delivery("nothing", standalone(), nothing),
    Delivery("relay killed", standalone(), kill_relay),
    Delivery("application killed", standalone(), kill_application),
    Delivery("endpoint down for two seconds", standalone(), be_down),
    Delivery("primary killed, append-only file always", standalone(*ALWAYS), kill_server),
    Delivery("all processes killed, one after another", standalone(*ALWAYS), kill_each),
)


@dataclass(frozen=True)
class Tally:
    """Counts of a run.

    Attributes:
        due: events in the store, which keeps all of them during the run.
        received: distinct events that the receiver has accepted.
        duplicated: messages that it has accepted again.
        lost: due events that it has not received.

    """

    due: int
    received: int
    duplicated: int
    lost: int


async def deliver(delivery: Delivery, seconds: float) -> Tally:
    """Run a scenario for about that many seconds, and count."""
    with delivery.environment() as environment, ExitStack() as stack:
        run = Run(environment, stack)
        await register_keeper(environment.url)
        async with receiving() as receiver, WebhookEndpoints(environment.url) as endpoints:
            receiver.respond = run.respond
            await endpoints.add(receiver.url, allow_private=True)
            starts = [run.start_relay, run.start_application] * 2
            await asyncio.gather(*[start() for start in starts])
            await asyncio.sleep(seconds / 2)
            await delivery.inject(run)
            await asyncio.sleep(seconds / 2)
            for child in run.applications:
                child.process.kill()
                child.process.wait()
            due = set(await stored_events(environment.url))
            await _until_accepted(due, run.accepted)
    received = set(run.accepted)
    return Tally(len(due), len(received), len(run.accepted) - len(received), len(due - received))


async def _until_accepted(due: set[str], accepted: list[str]) -> None:
    give_up = asyncio.get_running_loop().time() + PATIENCE
    while due - set(accepted) and asyncio.get_running_loop().time() < give_up:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
