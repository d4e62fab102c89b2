"""Scenarios with real processes and real kills: applications change sessions, two processes read the events, and
something fails. Afterwards the events in the store are compared with those that were received.

A change and its event are one step. The store keeps all events of a scenario, because a reader is registered that never
reads. So the events that are stored in the end are those of the changes that have survived: they are due.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.environments import ALWAYS, Environment, OpenEnvironment, sentinel, standalone
from tests.harness.children import Child
from tests.harness.farms import wait_for
from tests.harness.stored_events import register_keeper, stored_events, until_read

LEASE_SECONDS = 2.0


class Processes:
    """The processes of a scenario: two applications, and two readers that share the events.

    Attributes:
        environment: the store.
        applications: all that were started.
        readers: all that were started.

    """

    def __init__(self, environment: Environment, stack: ExitStack) -> None:
        self.environment = environment
        self._stack = stack
        self._folder = Path(stack.enter_context(TemporaryDirectory()))
        self.applications: list[Child] = []
        self.readers: list[Child] = []

    def start_application(self) -> Child:
        """Start an application."""
        self.applications.append(self._start("application"))
        return self.applications[-1]

    def start_reader(self) -> Child:
        """Start a reader."""
        self.readers.append(self._start("reader", "mailer", str(LEASE_SECONDS)))
        return self.readers[-1]

    def _start(self, program: str, *arguments: str) -> Child:
        output = self._folder / f"{program}{time.monotonic_ns()}"
        command = [sys.executable, "-m", "tests.events.programs", program, self.environment.url, *arguments]
        child = Child(command, output)
        self._stack.callback(kill, child)
        return child


def kill(child: Child) -> None:
    """Kill a process (kill -9), even one that is suspended."""
    child.process.kill()
    child.process.wait()


def nothing(processes: Processes, seconds: float) -> None:
    """Let them work."""
    time.sleep(seconds)


def kill_application(processes: Processes, seconds: float) -> None:
    """Kill an application, and start another one."""
    time.sleep(seconds / 2)
    kill(processes.applications[0])
    processes.start_application().wait_for("ready")
    time.sleep(seconds / 2)


def kill_reader(processes: Processes, seconds: float) -> None:
    """Kill a reader. The other one takes over."""
    time.sleep(seconds / 2)
    kill(processes.readers[0])
    time.sleep(seconds / 2)


def suspend_reader(processes: Processes, seconds: float) -> None:
    """Suspend a reader for more than its lease. The other one takes over."""
    time.sleep(seconds / 2)
    processes.readers[0].process.send_signal(signal.SIGSTOP)
    time.sleep(max(seconds / 2, 1.5 * LEASE_SECONDS))
    processes.readers[0].process.send_signal(signal.SIGCONT)


def kill_primary(processes: Processes, seconds: float) -> None:
    """Kill the server, and start it again with its append-only file."""
    time.sleep(seconds / 2)
    processes.environment.server.kill()
    time.sleep(0.2)
    processes.environment.server.restart()
    time.sleep(seconds / 2)


def kill_each(processes: Processes, seconds: float) -> None:
    """Kill an application, a reader, and the server, one after another."""
    kill_application(processes, seconds / 3)
    kill_reader(processes, seconds / 3)
    kill_primary(processes, seconds / 3)


def fail_over(processes: Processes, seconds: float) -> None:
    """Kill the primary of a Sentinel farm. A replica becomes the primary."""
    time.sleep(seconds / 2)
    farm = processes.environment.sentinels
    old = farm.primary()
    old.server.kill()
    wait_for(lambda: farm.primary() is not old, "a new primary")
    time.sleep(seconds / 2)


@dataclass(frozen=True)
class Scenario:
    """A row of the table.

    Attributes:
        name: what fails.
        environment: opens the store.
        inject: lets it fail, and takes about the given number of seconds.
        keeps_writes: whether the store keeps what it has acknowledged.

    """

    name: str
    environment: OpenEnvironment
    inject: Callable[[Processes, float], None]
    keeps_writes: bool = True


SCENARIOS = (
    Scenario("nothing", standalone(), nothing),
    Scenario("application killed", standalone(), kill_application),
    Scenario("reader killed", standalone(), kill_reader),
    Scenario("reader suspended", standalone(), suspend_reader),
    Scenario("primary killed, append-only file always", standalone(*ALWAYS), kill_primary),
    Scenario("all of them killed, one after another", standalone(*ALWAYS), kill_each),
    Scenario("Sentinel failover", sentinel, fail_over, keeps_writes=False),
)


@dataclass(frozen=True)
class Counts:
    """Counts of a scenario.

    Attributes:
        due: events of changes that have survived.
        received: distinct events that were received.
        duplicated: events that were received again, with the same id.
        lost: due events that were not received.
        silent: changes that were acknowledged, and have no event. Only a store that loses writes may have some.
        disordered: events of a session that were received in the wrong order, repeats aside.

    """

    due: int
    received: int
    duplicated: int
    lost: int
    silent: int
    disordered: int


def run(scenario: Scenario, seconds: float) -> Counts:
    """Run a scenario for about that many seconds, and count."""
    with scenario.environment() as environment, ExitStack() as stack:
        asyncio.run(register_keeper(environment.url))
        processes = Processes(environment, stack)
        for child in [
            *[processes.start_reader() for _ in range(2)],
            *[processes.start_application() for _ in range(2)],
        ]:
            child.wait_for("ready")
        scenario.inject(processes, seconds)
        for application in processes.applications:
            kill(application)
        due = asyncio.run(_due_once_all_are_read(environment.url))
        received = [_printed(child, "event") for child in processes.readers]
        acknowledged = {
            (f"session.{change}", session)
            for child in processes.applications
            for change in ("created", "ended")
            for [session] in _printed(child, change)
        }
        return _count(due, received, acknowledged)


async def _due_once_all_are_read(url: str) -> dict[str, tuple[str, str]]:
    await until_read(url)
    return await stored_events(url)


def _printed(child: Child, word: str) -> list[list[str]]:
    """Return the complete lines of a process that begin with a word, split, without that word."""
    lines = [line.split() for line in child.printed().split("\n")[:-1]]
    return [words[1:] for words in lines if words and words[0] == word]


def _count(
    due: dict[str, tuple[str, str]], received: list[list[list[str]]], acknowledged: set[tuple[str, str]]
) -> Counts:
    times = Counter(event_id for one in received for event_id, _, _ in one)
    return Counts(
        due=len(due),
        received=len(times),
        duplicated=sum(times.values()) - len(times),
        lost=len(due.keys() - times.keys()),
        silent=len(acknowledged - set(due.values())),
        disordered=sum(_disordered(one) for one in received),
    )


def _disordered(received: list[list[str]]) -> int:
    """Return how many sessions ended before they began, as one process received it."""
    ended, seen, disordered = set[str](), set[str](), 0
    for event_id, kind, session in received:
        if event_id not in seen and kind not in ("session.ended", "session.rotated") and session in ended:
            disordered += 1
        seen.add(event_id)
        if kind == "session.ended":
            ended.add(session)
    return disordered
