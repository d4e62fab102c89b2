"""How it is known that a fault has struck: what the load, or the server about the load, has to say of it afterwards.

An ordinary run shows none of this. A slow call alone says little on a machine that has no time, so that it counts only
where a fault is nothing else, and then for about as long as the fault lasts.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.load.counts import Counts
from tests.faults.load.load import Load

from .environments import Stage

Felt = Callable[[Stage, Load, Counts], bool]


def reconnected(stage: Stage, load: Load, counts: Counts) -> bool:
    """Connections were lost, and opened again."""
    return load.reconnects > 0


def retried(stage: Stage, load: Load, counts: Counts) -> bool:
    """Calls were tried again."""
    return load.retries > 0


def failed(stage: Stage, load: Load, counts: Counts) -> bool:
    """Calls ended with an error of those that an outage has."""
    return counts.unknown + counts.unavailable > 0


def failed_often(calls: int) -> Felt:
    """So many calls ended with SessionUnavailableError: more than there could be if each had waited."""
    return lambda stage, load, counts: counts.unavailable >= calls


def sent_much(bytes_: int) -> Felt:
    """The server has sent so much."""
    return lambda stage, load, counts: int(stage.info("stats")["total_net_output_bytes"]) >= bytes_


def clock_was_read(stage: Stage, load: Load, counts: Counts) -> bool:
    """Scripts have read the clock that the fault moves."""
    return "cmdstat_get" in stage.info("commandstats")


def was_full(stage: Stage, load: Load, counts: Counts) -> bool:
    """Calls ended with StoreFullError."""
    return counts.full > 0


def evicted(stage: Stage, load: Load, counts: Counts) -> bool:
    """The server has evicted keys."""
    return int(stage.info("stats")["evicted_keys"]) > 0


def turned_away(stage: Stage, load: Load, counts: Counts) -> bool:
    """The server has refused scripts, which nobody but the load calls, and would run nothing; and they came again."""
    return _scripts(stage)["rejected_calls"] > 0 and load.retries > 0


def unknown_scripts(calls: int) -> Felt:
    """So many scripts were not known to the server, more than it has not seen yet when the load begins."""
    return lambda stage, load, counts: _scripts(stage)["failed_calls"] >= calls


def waited(seconds: float) -> Felt:
    """A call has taken so long."""
    return lambda stage, load, counts: load.longest >= seconds


def slowed(seconds: float, calls: int) -> Felt:
    """So many calls have taken so long."""
    return lambda stage, load, counts: load.slower_than(seconds) >= calls


def other_hosts(number: int) -> Felt:
    """So many other hosts have worked on the same store, and written."""
    return lambda stage, load, counts: sum(host.writes > 0 for host in load.others) == number


def cancelled(stage: Stage, load: Load, counts: Counts) -> bool:
    """Callers have left."""
    return load.attempts.cancelled > 0


def stood_still(seconds: float) -> Felt:
    """The event loop has stood still for so long."""
    return lambda stage, load, counts: any(end - begun >= seconds for begun, end in load.stalls)


def all_of(*signs: Felt) -> Felt:
    """Each of these."""
    return lambda stage, load, counts: all(sign(stage, load, counts) for sign in signs)


def _scripts(stage: Stage) -> dict[str, int]:
    return dict(stage.info("commandstats")["cmdstat_evalsha"])


__all__ = [
    "Felt",
    "all_of",
    "cancelled",
    "clock_was_read",
    "evicted",
    "failed",
    "failed_often",
    "other_hosts",
    "reconnected",
    "retried",
    "sent_much",
    "slowed",
    "stood_still",
    "turned_away",
    "unknown_scripts",
    "waited",
    "was_full",
]
