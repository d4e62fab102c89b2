"""Facts about a server: its replies to INFO, CONFIG GET, and TIME, read once for all checks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ..core import server_info
from ..core.inspection import InspectedServer, Part, RefusedError, UnansweredError

SETTINGS = (
    "appendfsync", "bind", "cluster-node-timeout", "hash-max-listpack-entries", "hash-max-listpack-value",
    "hash-max-ziplist-entries", "hash-max-ziplist-value", "min-replicas-to-write", "protected-mode", "save",
    "tcp-keepalive", "timeout",
)  # fmt: skip
"""The settings that checks read. They are queried by name, because others contain passwords."""

_ACL_RULES = {"INFO": "+info", "CONFIG GET": "+config|get", "TIME": "+time"}

Clock = Callable[[], float]
"""A function that returns seconds since 1970."""


class BlockedError(Exception):
    """The error of a check that needs a fact which the server does not tell.

    Attributes:
        advice: how to get the fact.

    """

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.advice = advice


class ClockReading(NamedTuple):
    """The clocks of a server and of this process. Times are in seconds.

    Attributes:
        ahead: how far the server's clock is ahead of the local one.
        precision: the largest error of `ahead`, from the time that the query took.
        at: when it was read, by the local clock.
        monotonic: when it was read, by the local clock that nobody sets.

    """

    ahead: float
    precision: float
    at: float
    monotonic: float


class Facts:
    """Facts about one server.

    Attributes:
        server: the server.
        failure: why it does not answer; empty if it does.
        clock: the reading of its clock; None if that was refused.

    """

    def __init__(self, server: InspectedServer, clock: Clock = time.time) -> None:
        self.server = server
        self._local_clock = clock
        self.failure = ""
        self.clock: ClockReading | None = None
        self._info: dict[str, str] | None = None
        self._settings: dict[str, str] | None = None

    def text(self, name: str) -> str:
        """Return a value of INFO. Raises BlockedError."""
        if self._info is None:
            raise _refused("INFO", f"INFO shows it as {name}")
        if name not in self._info:
            raise BlockedError(
                f"the server does not report {name}", "Look for this value in the server's own tools or console."
            )
        return self._info[name]

    def number(self, name: str) -> int:
        """Return a whole number in INFO. Raises BlockedError."""
        text = self.text(name)
        if not text.isdigit():
            raise BlockedError(
                f"the server reports {name} as {text[:40]!r}", "Look for this value in the server's own tools."
            )
        return int(text)

    def has(self, name: str) -> bool:
        """Return whether INFO has a value of that name."""
        return self._info is not None and name in self._info

    def has_setting(self, name: str) -> bool:
        """Return whether the server has told a setting of that name."""
        return self._settings is not None and name in self._settings

    def setting(self, *names: str) -> str:
        """Return the first of these settings that the server has. Raises BlockedError."""
        if self._settings is None:
            raise _refused("CONFIG GET", f"look at the setting {names[0]}")
        for name in names:
            if name in self._settings:
                return self._settings[name]
        raise BlockedError(
            f"the server has no setting {names[0]}", "Nothing, unless its manual has another name for it."
        )

    def size(self, *names: str) -> int:
        """Return a setting that is a whole number. Raises BlockedError."""
        text = self.setting(*names)
        if not text.isdigit():
            raise BlockedError(f"{names[0]} is {text[:40]!r}, not a number", "Look at the server's configuration.")
        return int(text)

    def now(self) -> float:
        """Return the server's time in seconds since 1970, according to the reading of its clock.

        A local clock that is set meanwhile changes nothing.
        """
        if self.clock is None:
            return self._local_clock()
        return self.clock.at + self.clock.ahead + time.monotonic() - self.clock.monotonic


def _refused(command: str, what: str) -> BlockedError:
    return BlockedError(
        f"this user may not run {command}",
        f"Run the doctor as a user with {_ACL_RULES[command]}, or as an administrator: {what}. Many managed services "
        "block the command; their console then shows the value.",
    )


async def read(server: InspectedServer, clock: Clock) -> Facts:
    """Read the facts about a server. Values that it refuses to tell are missing."""
    facts = Facts(server, clock)
    try:
        facts._info = await _info(server)
        if server.part is not Part.SENTINEL:
            facts._settings = await _settings(server)
        facts.clock = await read_clock(server, clock)
    except UnansweredError as failure:
        facts.failure = str(failure)
    return facts


async def read_clock(server: InspectedServer, clock: Clock) -> ClockReading | None:
    """Compare the clocks of a server and of this process. None if the server refuses. Raises UnansweredError."""
    before, begun = clock(), time.monotonic()
    try:
        seconds, microseconds = await server.query("TIME")
    except RefusedError:
        return None
    after, ended = clock(), time.monotonic()
    middle = (before + after) / 2
    ahead = int(seconds) + int(microseconds) / 1e6 - middle
    return ClockReading(ahead, max(0.0, after - before) / 2, middle, (begun + ended) / 2)


async def _info(server: InspectedServer) -> dict[str, str] | None:
    try:
        return server_info.parse(bytes(await server.query("INFO")))
    except RefusedError:
        return None


async def _settings(server: InspectedServer) -> dict[str, str] | None:
    replies: list[Any] = await asyncio.gather(
        *(server.query("CONFIG", "GET", name) for name in SETTINGS), return_exceptions=True
    )
    found: dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, UnansweredError):
            raise reply
        if isinstance(reply, list) and len(reply) == 2:
            found[reply[0].decode()] = reply[1].decode(errors="replace")
        elif isinstance(reply, BaseException) and not isinstance(reply, RefusedError):
            raise reply
    refused = all(isinstance(reply, RefusedError) for reply in replies)
    return None if refused else found
