"""The matrix: each fault, the environment that it is injected into, and the promises that hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from chuk_sessions.backends.redis.scripts import load as load_scripts
from tests.faults.load.counts import Counts
from tests.faults.load.load import Load, load_on
from tests.faults.load.readers import counting_drops, reading
from tests.faults.load.webhooks import relayed_by_a_moved_clock, relayed_by_processes

from .environments import (
    ALWAYS,
    Environment,
    OpenEnvironment,
    behind_dns_name,
    cluster,
    cluster_without_replicas,
    proxied,
    replicated,
    sentinel,
    standalone,
)
from .evidence import (
    Evidence,
    all_of,
    bytes_sent,
    canceled,
    clock_was_read,
    evicted,
    failed,
    failed_often,
    loop_blocked,
    other_hosts,
    reconnected,
    retried,
    revoked,
    scripts_rejected,
    scripts_unknown,
    slowed,
    stream_was_full,
    waited,
    was_full,
)
from .inject import clocks, events, failover, network, revocations, server, webhooks
from .judge import broken_promises, count

Inject = Callable[[Environment, Load, float], Awaitable[None]]

SHORT_S, LONG_S = 0.6, 8.0
ENOUGH_WRITES = 101
"""Acknowledged writes of a run. A busy machine needs longer for them."""

Watch = Callable[[str, list[str]], AbstractAsyncContextManager[None]]


def _watch_nothing(url: str, broken: list[str]) -> AbstractAsyncContextManager[None]:
    return nullcontext()


_BRIEF = 1.0
_AMPLE = 10.0


@dataclass(frozen=True)
class Fault:
    """A row of the matrix. `judge.broken_promises` adds the promises that hold for every fault.

    Attributes:
        name: of the fault.
        promised: the promise in words.
        environment: opens what the fault is injected into.
        inject: injects it for a number of seconds.
        evidence: tells afterwards whether the fault reached the load.
        keeps_writes: the server keeps acknowledged writes, so no write may be lost and no invalid id may validate.
        keeps_lifecycle: creation, rotation and deletion persist once acknowledged, whatever else is lost.
        errors: the kinds of errors that callers may get.
        timeout: of a call, in seconds.
        slow: servers need seconds for it, so the short form of the matrix skips it.
        settings: further settings of the connections.
        recovers_within: seconds after the fault by which each session must be served again; None promises nothing.
        manager: options of the managers.
        watch: watches the store at a URL from before the load until after it, and adds to a list what was broken.

    """

    name: str
    promised: str
    environment: OpenEnvironment
    inject: Inject
    evidence: Evidence
    keeps_writes: bool = True
    keeps_lifecycle: bool = False
    errors: frozenset[str] = frozenset()
    timeout: float = _AMPLE
    slow: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    recovers_within: float | None = None
    manager: dict[str, Any] = field(default_factory=dict)
    watch: Watch = _watch_nothing


@dataclass(frozen=True)
class Result:
    """A result of a fault.

    Attributes:
        fault: the row.
        counts: of the run.
        version: of the server.
        broken: the promises that were broken.
        unexpected: errors that no call should raise, as text.

    """

    fault: Fault
    counts: Counts
    version: str
    broken: list[str]
    unexpected: list[str]


UNKNOWN = frozenset({"unknown"})
OUTAGE = frozenset({"unknown", "unavailable"})
OUTLASTED = waited(0.5)
NO_CALL_FAILS = "no call fails"
CACHE_BOUND = "no process has a revoked session in its local cache later than max_staleness after the revocation"
UNKNOWN_IN_FLIGHT = "nothing is lost; calls in flight whose retry could do harm raise OutcomeUnknownError"

MATRIX = (
    Fault("kill -9, append-only file always", UNKNOWN_IN_FLIGHT, standalone(*ALWAYS), server.kill, reconnected,
          errors=UNKNOWN),
    Fault("kill -9, no persistence", "the server loses its sessions; no call finds any of them", standalone(),
          server.kill, reconnected, keeps_writes=False, errors=UNKNOWN),
    Fault("restart with data to load (LOADING)", UNKNOWN_IN_FLIGHT, standalone(*ALWAYS),
          server.restart_with_data_to_load, scripts_rejected, errors=UNKNOWN),
    Fault("server suspended (SIGSTOP)", "nothing is lost; calls return by their deadlines", standalone(),
          server.suspend, failed, errors=OUTAGE, timeout=_BRIEF),
    Fault("SCRIPT FLUSH", NO_CALL_FAILS, standalone(), server.flush_scripts, scripts_unknown(60)),
    Fault("CLIENT KILL", UNKNOWN_IN_FLIGHT, standalone(), server.kill_clients, reconnected, errors=UNKNOWN),
    Fault("CLIENT PAUSE", "calls wait", standalone(), server.pause_clients, waited(0.2)),
    Fault("BUSY script", "calls wait", standalone(), server.run_busy_scripts, scripts_rejected),
    Fault("READONLY", "calls wait", standalone(), server.demote_and_promote, reconnected),
    Fault("out of memory, noeviction", "calls that need memory raise StoreFullError, all others work; nothing is lost",
          standalone(), server.fill_memory, was_full, errors=frozenset({"full"})),
    Fault("out of memory, eviction with a volatile policy", "the server evicts whole sessions; all others are listed",
          standalone(), server.evict_keys, evicted, keeps_writes=False, errors=frozenset({"full"})),
    Fault("slow and fragmenting proxy", NO_CALL_FAILS, proxied, network.delay_and_fragment,
          slowed(network.DELAY_S, 50)),
    Fault("lost replies", "nothing is lost or applied twice; an outcome is unknown only if a retry could do harm",
          proxied, network.lose_replies, all_of(reconnected, retried), errors=OUTAGE, timeout=_BRIEF),
    Fault("client clocks wrong by an hour, fast and slow", "sessions expire on all hosts when they do on the server",
          standalone(), clocks.run_hosts_with_wrong_clocks, other_hosts(len(clocks.OFFSETS))),
    Fault("cancellation storm", "no other call fails", standalone(), network.cancel_calls, canceled),
    Fault("event loop blocked", "nothing is lost", standalone(), network.block_event_loop,
          loop_blocked(network.BLOCKED_S), errors=OUTAGE, timeout=_BRIEF),
    Fault("Sentinel failover (primary killed)", "calls wait for the new primary", sentinel, failover.kill_primary,
          OUTLASTED, keeps_writes=False, errors=UNKNOWN, slow=True),
    Fault("Sentinel failover, lagging replicas", "calls wait for the new primary; writes that no replica has are lost",
          sentinel, failover.kill_primary_ahead_of_replicas, OUTLASTED, keeps_writes=False, errors=UNKNOWN, slow=True),
    Fault("Sentinel failover, lagging replicas, wait_replicas=1", "creation, rotation and deletion persist once "
          "acknowledged", sentinel, failover.kill_primary_ahead_of_replicas, OUTLASTED, keeps_writes=False,
          keeps_lifecycle=True, errors=UNKNOWN, slow=True, settings={"wait_replicas": 1}),
    Fault("primary suspended until replaced (SIGSTOP)", "calls return by their deadlines; clients do not return to the "
          "old primary", sentinel, failover.suspend_primary, failed, keeps_writes=False, errors=OUTAGE, timeout=_BRIEF,
          slow=True),
    Fault("cluster primary killed", "calls to its slots wait for its replica", cluster, failover.kill_cluster_primary,
          OUTLASTED, keeps_writes=False, errors=UNKNOWN, slow=True),
    Fault("slots migrating", NO_CALL_FAILS, cluster, failover.migrate_slots, retried),
    Fault("primary demoted, DNS name moved", "calls wait for the new primary and reach it within 3 s", behind_dns_name,
          failover.demote_behind_dns_name, reconnected, recovers_within=3.0),
    Fault("replica suspended, wait_replicas=1", "creation, rotation and deletion raise NotReplicatedError within 1 s; "
          "all other calls work", replicated, failover.suspend_replica, OUTLASTED, errors=UNKNOWN, timeout=_BRIEF,
          settings={"wait_replicas": 1}),
    Fault("cluster node suspended while revoking", "a user's sessions on all other nodes are revoked; the error says "
          "that the revocation is incomplete", cluster_without_replicas, failover.suspend_node_while_revoking, failed,
          errors=OUTAGE, timeout=_BRIEF),
    Fault("large replies", "no outcome of a write is unknown; reads share the limit on large replies, and may time out",
          standalone(), server.read_large_sessions, bytes_sent(20_000_000), errors=frozenset({"unavailable"}),
          timeout=_BRIEF),
    Fault("idle connections dropped", "the first call takes at most 2 s; no outcome is unknown", proxied,
          network.drop_idle_connections, reconnected, recovers_within=2.0),
    Fault("long outage", "calls fail at once when it has outlasted their timeout, and work within 0.5 s of its end",
          standalone(*ALWAYS), server.stay_down, failed_often(500), errors=OUTAGE, timeout=_BRIEF, recovers_within=0.5),
    Fault("local cache: black hole", CACHE_BOUND, proxied, revocations.behind_black_hole, all_of(failed, revoked),
          errors=OUTAGE, timeout=_BRIEF),
    Fault("local cache: CLIENT KILL", CACHE_BOUND, standalone(), revocations.with_killed_connections,
          all_of(reconnected, revoked), errors=UNKNOWN),
    Fault("local cache: primary suspended until replaced (SIGSTOP)", CACHE_BOUND, sentinel, revocations.at_failover,
          all_of(failed, revoked), keeps_writes=False, errors=OUTAGE, timeout=_BRIEF, slow=True),
    Fault("local cache: slots migrating", CACHE_BOUND, cluster, revocations.during_migration, revoked, slow=True),
    Fault("server clock set back", "revocation finds all sessions, even those that were swept while the clock was fast",
          standalone(), server.set_clock_back, clock_was_read,
          settings={"loaded": load_scripts({"now": server.FAST_CLOCK})}),
    Fault("event stream at its cap", "no call fails or waits for readers; each event that is dropped counts as lost",
          standalone(), events.fill_a_stream, stream_was_full, manager={"events": True, "max_events": events.CAP},
          watch=counting_drops),
    Fault("Sentinel failover with events on", "each event of a change that has survived is received", sentinel,
          failover.kill_primary, OUTLASTED, keeps_writes=False, errors=UNKNOWN, slow=True, manager={"events": True},
          watch=reading),
    Fault("webhook relay killed", "another relay takes over; each event session.ended is delivered",
          standalone(), webhooks.kill_relay, webhooks.relay_was_killed, manager={"events": True},
          watch=relayed_by_processes),
    Fault("webhook endpoint down for an hour (moved clock)", "each event session.ended is delivered afterwards",
          standalone(), webhooks.keep_endpoint_down, webhooks.messages_were_refused, manager={"events": True},
          settings={"loaded": load_scripts({"now": server.FAST_CLOCK})}, watch=relayed_by_a_moved_clock),
)  # fmt: skip


async def run(fault: Fault, seconds: float) -> Result:
    """Inject a fault under load, and judge."""
    more: list[str] = []
    with fault.environment() as environment:
        async with (
            fault.watch(environment.url, more),
            load_on(environment.url, timeout=fault.timeout, manager=fault.manager, **fault.settings) as load,
        ):
            await asyncio.sleep(seconds / 4)
            await fault.inject(environment, load, seconds)
            recovery = await load.recovered(time.monotonic())
            await asyncio.sleep(seconds / 4)
            await load.until_written(ENOUGH_WRITES)
        counts = await count(load, environment.direct, recovery)
        reached_the_load = fault.evidence(environment, load, counts)
    broken = broken_promises(
        counts, keeps_writes=fault.keeps_writes, keeps_lifecycle=fault.keeps_lifecycle, errors=fault.errors
    )
    broken += more
    if fault.recovers_within is not None and recovery > fault.recovers_within:
        broken.append(f"served after {recovery:.2f} s, not within {fault.recovers_within:g} s")
    if not reached_the_load:
        broken.append("there is no evidence that the fault reached the load")
    return Result(fault, counts, environment.version, broken, load.ledger.unexpected)
