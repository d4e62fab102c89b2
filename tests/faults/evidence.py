"""Evidence that a fault reached the load: what the load, or the server's statistics, show afterwards.

An ordinary run shows none of it. Slow calls alone prove little on a busy machine. They count only for faults that do
nothing else than delay, and only if they were delayed for about as long as the fault lasts.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.load.counts import Counts
from tests.faults.load.load import Load

from .environments import Environment

Evidence = Callable[[Environment, Load, Counts], bool]


def reconnected(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether connections were lost and opened again."""
    return load.reconnects > 0


def retried(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether calls were retried."""
    return load.retries > 0


def failed(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether calls raised an error of an outage."""
    return counts.unknown + counts.unavailable > 0


def failed_often(calls: int) -> Evidence:
    """Expect that many SessionUnavailableErrors: more than there could be if each call had waited."""
    return lambda environment, load, counts: counts.unavailable >= calls


def bytes_sent(number: int) -> Evidence:
    """Expect the server to have sent that many bytes."""
    return lambda environment, load, counts: int(environment.info("stats")["total_net_output_bytes"]) >= number


def clock_was_read(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether scripts have read the clock that the fault changes."""
    return "cmdstat_get" in environment.info("commandstats")


def was_full(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether calls raised StoreFullError."""
    return counts.full > 0


def evicted(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether the server has evicted keys."""
    return int(environment.info("stats")["evicted_keys"]) > 0


def scripts_rejected(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether the server has rejected scripts, which only the load calls, and the load has retried them."""
    return _scripts(environment)["rejected_calls"] > 0 and load.retries > 0


def scripts_unknown(calls: int) -> Evidence:
    """Expect that many calls of scripts that the server did not know: more than when a load starts."""
    return lambda environment, load, counts: _scripts(environment)["failed_calls"] >= calls


def waited(seconds: float) -> Evidence:
    """Expect a call that took at least that long."""
    return lambda environment, load, counts: load.longest >= seconds


def slowed(seconds: float, calls: int) -> Evidence:
    """Expect that many calls that took at least that long."""
    return lambda environment, load, counts: load.slower_than(seconds) >= calls


def other_hosts(number: int) -> Evidence:
    """Expect that many other hosts that wrote to the same store."""
    return lambda environment, load, counts: sum(host.writes > 0 for host in load.others) == number


def revoked(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether sessions were revoked that another process had in its local cache."""
    return counts.revoked > 0


def canceled(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether calls were canceled."""
    return load.attempts.canceled > 0


def loop_blocked(seconds: float) -> Evidence:
    """Expect the event loop to have been blocked for at least that long."""
    return lambda environment, load, counts: any(end - begun >= seconds for begun, end in load.stalls)


def stream_was_full(environment: Environment, load: Load, counts: Counts) -> bool:
    """Return whether a stream of events has dropped entries."""
    with environment.server.client() as client:
        states = [client.xinfo_stream(key) for key in client.scan_iter("*/events", _type="stream")]
    return any(state["entries-added"] > state["length"] for state in states)


def all_of(*signs: Evidence) -> Evidence:
    """Expect each of these."""
    return lambda environment, load, counts: all(sign(environment, load, counts) for sign in signs)


def _scripts(environment: Environment) -> dict[str, int]:
    return dict(environment.info("commandstats")["cmdstat_evalsha"])


__all__ = [
    "Evidence",
    "all_of",
    "bytes_sent",
    "canceled",
    "clock_was_read",
    "evicted",
    "failed",
    "failed_often",
    "loop_blocked",
    "other_hosts",
    "reconnected",
    "retried",
    "revoked",
    "scripts_rejected",
    "scripts_unknown",
    "slowed",
    "stream_was_full",
    "waited",
    "was_full",
]
