"""How it is known that a fault has struck: what the load, or the server about the load, has to say of it afterwards.

An ordinary run shows none of this. A slow call alone says little on a machine that has no time, so that it counts only
where a fault is nothing else, and then for about as long as the fault lasts.
"""

from __future__ import annotations

from collections.abc import Callable

from .counts import Counts
from .load import Load
from .stages import Stage

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


def was_full(stage: Stage, load: Load, counts: Counts) -> bool:
    """Calls ended with StoreFullError."""
    return counts.full > 0


def evicted(stage: Stage, load: Load, counts: Counts) -> bool:
    """The server has evicted keys."""
    return int(stage.info("stats")["evicted_keys"]) > 0


def turned_away(stage: Stage, load: Load, counts: Counts) -> bool:
    """The server has refused scripts, which nobody but the load calls, and would run nothing; and they came again."""
    return _scripts(stage)["rejected_calls"] > 0 and load.retries > 0


def refused(stage: Stage, load: Load, counts: Counts) -> bool:
    """Scripts have ended with an error, as one that is not known or may not write does; and they came again."""
    return _scripts(stage)["failed_calls"] > 0 and load.retries > 0


def waited(seconds: float) -> Felt:
    """A call has taken so long."""
    return lambda stage, load, counts: load.longest >= seconds


def slowed(seconds: float, calls: int) -> Felt:
    """So many calls have taken so long."""
    return lambda stage, load, counts: load.slower_than(seconds) >= calls


def gave_up(least: int) -> Felt:
    """So many calls failed, more than could have waited for their deadlines."""
    return lambda stage, load, counts: counts.unavailable >= least


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
    "evicted",
    "failed",
    "gave_up",
    "other_hosts",
    "reconnected",
    "refused",
    "retried",
    "slowed",
    "stood_still",
    "turned_away",
    "waited",
    "was_full",
]
