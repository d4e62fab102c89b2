"""The matrix: each fault, what it strikes, and what is promised."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from chuk_sessions.backends.redis.scripts import load as load_scripts
from tests.faults.load.counts import Counts
from tests.faults.load.load import Load, load_on

from .environments import (
    ALWAYS,
    Opens,
    Stage,
    alone,
    behind_a_name,
    behind_a_proxy,
    clustered,
    replicated,
    watched,
    without_replicas,
)
from .evidence import (
    Felt,
    all_of,
    cancelled,
    clock_was_read,
    evicted,
    failed,
    failed_often,
    other_hosts,
    reconnected,
    retried,
    sent_much,
    slowed,
    stood_still,
    turned_away,
    unknown_scripts,
    waited,
    was_full,
)
from .inject import clocks, failover, network, server
from .judge import broken, count

Strike = Callable[[Stage, Load, float], Awaitable[None]]

SHORT_S, LONG_S = 0.6, 8.0
_BRIEF = 1.0
_AMPLE = 10.0


@dataclass(frozen=True)
class Fault:
    """One row. What is promised of every fault stands in `judge.broken`.

    Attributes:
        name: of the fault.
        promised: in words.
        stage: what it strikes.
        strike: does it.
        felt: how it is known afterwards that it has struck the load.
        keeps: the server keeps what it has acknowledged, so that nothing may be lost and nobody revived.
        ends: whatever else is lost, what was acknowledged to have been made is there, and nothing comes back.
        errors: kinds of errors that callers may see.
        timeout: of a call, in seconds.
        slow: it takes servers some seconds, so the short form leaves it to others.
        settings: further ones of the connections.
        within: seconds after the fault's end by which each session is served again; None promises nothing.

    """

    name: str
    promised: str
    stage: Opens
    strike: Strike
    felt: Felt
    keeps: bool = True
    ends: bool = False
    errors: frozenset[str] = frozenset()
    timeout: float = _AMPLE
    slow: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    within: float | None = None


@dataclass(frozen=True)
class Result:
    """What came of it.

    Attributes:
        fault: which.
        counts: what was counted.
        version: of the server.
        broken: promises that were.
        odd: errors that nothing was expected to raise.

    """

    fault: Fault
    counts: Counts
    version: str
    broken: list[str]
    odd: list[str]


UNKNOWN = frozenset({"unknown"})
OUTAGE = frozenset({"unknown", "unavailable"})
OUTLASTED = waited(0.5)
NOTICED = "nothing is lost; calls that were under way and could do harm if repeated say that their outcome is unknown"

MATRIX = (
    Fault("kill -9, append-only file always", NOTICED, alone(*ALWAYS), server.killed, reconnected, errors=UNKNOWN),
    Fault("kill -9, no persistence", "what is gone is not there for anybody", alone(), server.killed, reconnected,
          keeps=False, errors=UNKNOWN),
    Fault("restart with data to load (LOADING)", NOTICED, alone(*ALWAYS), server.loads, turned_away, errors=UNKNOWN),
    Fault("server stands still (SIGSTOP)", "nothing is lost; calls end by their deadlines", alone(),
          server.stands_still, failed, errors=OUTAGE, timeout=_BRIEF),
    Fault("SCRIPT FLUSH", "nobody notices", alone(), server.forgets_scripts, unknown_scripts(60)),
    Fault("CLIENT KILL", NOTICED, alone(), server.throws_out, reconnected, errors=UNKNOWN),
    Fault("CLIENT PAUSE", "calls wait", alone(), server.pauses, waited(0.2)),
    Fault("BUSY script", "calls wait", alone(), server.is_busy, turned_away),
    Fault("READONLY", "calls wait", alone(), server.is_a_replica, reconnected),
    Fault("out of memory, noeviction", "what would grow is refused, all else goes on, nothing is lost", alone(),
          server.is_full, was_full, errors=frozenset({"full"})),
    Fault("out of memory, eviction with a volatile policy", "what is evicted is gone as a whole, all else is indexed",
          alone(), server.evicts, evicted, keeps=False, errors=frozenset({"full"})),
    Fault("slow and fragmenting proxy", "nobody notices", behind_a_proxy, network.slow_and_in_pieces,
          slowed(network.DELAY_S, 50)),
    Fault("lost replies", "nothing is lost or applied twice; unknown outcomes only where a repeat could do harm",
          behind_a_proxy, network.replies_get_lost, all_of(reconnected, retried), errors=OUTAGE, timeout=_BRIEF),
    Fault("client hosts' clocks wrong by an hour, either way", "sessions end for all hosts when they do on the server",
          alone(), clocks.are_wrong, other_hosts(len(clocks.OFFSETS))),
    Fault("cancel storm", "nobody else notices", alone(), network.callers_cancel, cancelled),
    Fault("event loop blocked", "nothing is lost", alone(), network.the_loop_is_blocked,
          stood_still(network.BLOCKED_S), errors=OUTAGE, timeout=_BRIEF),
    Fault("Sentinel failover (primary killed)", "calls wait for the new primary", watched, failover.primary_killed,
          OUTLASTED, keeps=False, errors=UNKNOWN, slow=True),
    Fault("Sentinel failover, replicas behind", "calls wait for the new primary; what no replica has is lost", watched,
          failover.primary_cut_off, OUTLASTED, keeps=False, errors=UNKNOWN, slow=True),
    Fault("the same, with wait_replicas=1", "sessions made, rotated and ended stay so", watched, failover.primary_cut_off,
          OUTLASTED, keeps=False, ends=True, errors=UNKNOWN, slow=True, settings={"wait_replicas": 1}),
    Fault("primary partitioned (SIGSTOP)", "calls end by their deadlines; the old primary is not gone back to", watched,
          failover.primary_stopped, failed, keeps=False, errors=OUTAGE, timeout=_BRIEF, slow=True),
    Fault("cluster node lost", "calls to its slots wait for its replica", clustered, failover.node_killed, OUTLASTED,
          keeps=False, errors=UNKNOWN, slow=True),
    Fault("slots migrating", "nobody notices", clustered, failover.slots_move, retried),
    Fault("primary demoted behind one name", "calls wait for the new primary, which is found within 3 s", behind_a_name,
          failover.demoted_behind_a_name, reconnected, within=3.0),
    Fault("replicas gone, with wait_replicas=1", "all else goes on; whoever creates, rotates or deletes learns within "
          "a second that it is not replicated", replicated, failover.replicas_gone, OUTLASTED, errors=UNKNOWN,
          timeout=_BRIEF, settings={"wait_replicas": 1}),
    Fault("cluster node gone while revoking", "what the other nodes have of a user is revoked; the error says that "
          "it is incomplete", without_replicas, failover.node_gone_while_revoking, failed, errors=OUTAGE, timeout=_BRIEF),
    Fault("large replies", "other callers wait no longer than they can", alone(), server.large_replies,
          sent_much(100_000_000), timeout=_BRIEF),
    Fault("idle connection dropped", "the first call takes at most 2 s, and no outcome is unknown", behind_a_proxy,
          network.dropped_while_idle, reconnected, within=2.0),
    Fault("long outage", "calls fail at once when it has outlasted their time, and work 0.5 s after it", alone(*ALWAYS),
          server.stays_down, failed_often(500), errors=OUTAGE, timeout=_BRIEF, within=0.5),
    Fault("server clock stepping back", "who is revoked is found, whatever was swept meanwhile", alone(),
          server.clock_steps_back, clock_was_read,
          settings={"loaded": load_scripts({"now": server.CLOCK_AHEAD})}),
)  # fmt: skip


async def run(fault: Fault, seconds: float) -> Result:
    """Let it strike under load, and judge."""
    with fault.stage() as stage:
        async with load_on(stage.url, timeout=fault.timeout, **fault.settings) as load:
            await asyncio.sleep(seconds / 4)
            await fault.strike(stage, load, seconds)
            took = await load.recovered(time.monotonic())
            await asyncio.sleep(seconds / 4)
        counts = await count(load, stage.direct, took)
        felt = fault.felt(stage, load, counts)
    failures = broken(counts, keeps=fault.keeps, ends=fault.ends, errors=fault.errors)
    if fault.within is not None and took > fault.within:
        failures.append(f"served after {took:.2f} s, not within {fault.within:g} s")
    if not felt:
        failures.append("the load has felt nothing of it")
    return Result(fault, counts, stage.version, failures, load.ledger.odd)
