"""Checks of the servers as such: whether they answer, their version, clock, limits, and time-outs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from ..core.inspection import Kind, Part, UnansweredError
from .case import Case
from .facts import BlockedError, Facts, read_clock
from .finding import Verdict, ok, problem, unknown, warning

_OLDEST = (6, 2)
_CLOCK_OFF, _CLOCK_WRONG = 2.0, 60.0
"""Seconds between two clocks."""
_CLOCK_STEP = 0.5
"""Seconds by which a clock moved against the other one while the doctor worked."""
_SHORT_TIMEOUT = 60
_MOST_CLIENTS = 0.8
_FAILOVER = 2.0
"""Seconds that a failover takes at least."""


def reachable(server: Facts, case: Case) -> Iterator[Verdict]:
    """Check that each server of the deployment answers."""
    part = server.server.part
    if not server.failure:
        yield ok(f"the {part} answers")
    elif part is Part.PRIMARY:
        yield problem(
            f"the primary does not answer: {server.failure}",
            "Sessions in its slots cannot be used. Start the server, or let a replica take over. If it runs, check the "
            "network between this machine and the server.",
        )
    elif case.inspection.kind is Kind.SERVER:
        # The primary knows whether the replica is up: the check `replicas` asks it. Behind NAT, or with a certificate
        # for another name, as managed services have it, no client can reach the replica, and none needs to.
        yield unknown(
            f"this machine cannot reach the {part}: {server.failure}",
            "The application does not use it. To examine it, run the doctor with its URL, or pass address_remap.",
        )
    else:
        yield warning(
            f"the {part} does not answer: {server.failure}",
            "Start the server if it is down. If only this machine cannot reach it (NAT), pass address_remap, or run "
            "the doctor where the application runs. After a failover, the application must reach it.",
        )


def version(server: Facts, _case: Case) -> Iterator[Verdict]:
    """Check that the server has the commands that scripts need."""
    name = "Valkey" if server.has("valkey_version") else "Redis"
    text = server.text("valkey_version") if server.has("valkey_version") else server.text("redis_version")
    numbers = tuple(int(part) for part in server.text("redis_version").split(".")[:2] if part.isdigit())
    if numbers < _OLDEST:
        yield problem(
            f"this is {name} {text}, which lacks commands that the scripts need (COPY, ZMSCORE)",
            "Upgrade to Redis 6.2 or newer, or to Valkey.",
        )
    else:
        yield ok(f"this is {name} {text}")


async def clock(server: Facts, case: Case) -> AsyncIterator[Verdict]:
    """Check that the clocks of all servers and of this machine agree, and that none of them jumps."""
    first = server.clock
    if first is None:
        yield unknown("this user may not run TIME", "Add +time to the rights of this user: the scripts need it, too.")
        return
    try:
        second = await read_clock(server.server, case.clock)
    except UnansweredError:
        second = None
    if second is not None:
        step = abs(second.ahead - first.ahead) - first.precision - second.precision
        if step > _CLOCK_STEP:
            yield warning(
                f"the clock of the server or of this machine moved by {step:.1f} s within {second.at - first.at:.1f} s",
                "Let the time service (chrony, systemd-timesyncd) slew the clock instead of setting it. A step expires "
                "sessions early, or keeps them too long.",
            )
    off = abs(first.ahead) - first.precision
    if off <= _CLOCK_OFF:
        yield ok("the server's clock agrees with the one of this machine")
        return
    direction = "ahead of" if first.ahead > 0 else "behind"
    yield (problem if off > _CLOCK_WRONG else warning)(
        f"the server's clock is {off:.1f} s {direction} the one of this machine",
        "Run a time service (chrony, systemd-timesyncd) on both. Servers decide when sessions expire. If clocks of "
        "servers differ, a failover expires sessions early or late; if the one of this machine is wrong, so are the "
        "times in ids, tokens, and logs.",
    )


def timeouts(server: Facts, case: Case) -> Iterator[Verdict]:
    """Check the time-outs of server and client, and the number of clients."""
    yield from _clients(server)
    wait = case.inspection.settings.call_timeout
    if wait < _FAILOVER and (case.replicas or case.sentinels):
        yield warning(
            f"calls time out after {wait:g} s, and a failover takes longer: calls fail meanwhile",
            "Set SESSION_REDIS_CALL_TIMEOUT above 2 s, and below the time-out of your own requests.",
        )
    idle, keepalive = server.size("timeout"), server.size("tcp-keepalive")
    if 0 < idle < _SHORT_TIMEOUT:
        yield warning(
            f"the server closes connections that are idle for {idle} s (timeout), so calls often wait for a new one",
            "Run `CONFIG SET timeout 0`, or at least 300, and `CONFIG REWRITE`.",
        )
    elif not keepalive:
        yield warning(
            "tcp-keepalive is 0: the server keeps connections of clients that are gone, until maxclients is reached",
            "Run `CONFIG SET tcp-keepalive 300` and `CONFIG REWRITE`.",
        )
    else:
        kept = f"closes connections that are idle for {idle} s" if idle else "keeps idle connections open"
        yield ok(f"the server {kept}, and calls time out after {wait:g} s")


def _clients(server: Facts) -> Iterator[Verdict]:
    try:
        connected, most = server.number("connected_clients"), server.number("maxclients")
    except BlockedError:
        return  # Redis 6.2 reports no maxclients
    if connected > _MOST_CLIENTS * most:
        yield warning(
            f"{connected:,} of at most {most:,} clients are connected (maxclients). Over the limit, the server refuses "
            "connections",
            "Raise maxclients (and the limit of open files), or find out which application opens so many connections "
            "with `CLIENT LIST`. A process with this library needs about two for each event loop.",
        )
