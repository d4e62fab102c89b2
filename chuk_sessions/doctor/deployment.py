"""Checks of the deployment: the slots of a cluster, and the quorum of Sentinels."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ..core import server_info
from ..core.inspection import RefusedError, UnansweredError
from .case import Case
from .facts import Facts
from .finding import Verdict, ok, problem, unknown, warning

_SLOTS = 16_384
_FEW_SENTINELS = 3
_SETTINGS = "auth-pass, down-after-milliseconds, and failover-timeout (`SENTINEL SET`)"


async def cluster(server: Facts, case: Case) -> AsyncIterator[Verdict]:
    """Check that a node sees a cluster that works, and that every slot has a primary."""
    if case.inspection.slots < _SLOTS:
        yield problem(
            f"{_SLOTS - case.inspection.slots:,} of 16,384 slots have no primary: sessions in them cannot be used",
            "Assign the slots with `redis-cli --cluster fix HOST:PORT`.",
        )
    try:
        facts = server_info.parse(bytes(await server.server.query("CLUSTER", "INFO")))
    except RefusedError:
        yield unknown("this user may not run CLUSTER INFO", "Add +cluster|info, or run the doctor as an administrator.")
        return
    failing = int(facts.get("cluster_slots_pfail", 0)) + int(facts.get("cluster_slots_fail", 0))
    if facts.get("cluster_state") != "ok":
        yield problem(
            "this node sees a cluster that is down (cluster_state fail), and refuses calls",
            "Run `redis-cli --cluster check HOST:PORT`. Usually a primary without a replica is down, most primaries "
            "cannot reach each other, or slots are not assigned.",
        )
    elif failing:
        yield problem(
            f"this node sees {failing:,} slots whose primary does not answer",
            "Start that primary, or let its replica take over (`CLUSTER FAILOVER FORCE` on the replica).",
        )
    else:
        yield ok("the cluster works, and every slot has a primary")


async def sentinel(server: Facts, case: Case) -> AsyncIterator[Verdict]:
    """Check that a Sentinel names the primary in use, and that enough Sentinels can agree on a failover."""
    name = case.inspection.primary_name
    try:
        reply = await server.server.query("SENTINEL", "MASTER", name)
    except RefusedError as refused:
        if refused.code == "NOPERM":
            yield unknown("this user may not run SENTINEL MASTER", "Add +sentinel|master to its rights.")
        else:
            yield problem(
                f"this Sentinel does not monitor {name}",
                f"Run `SENTINEL MONITOR {name} HOST PORT QUORUM` on it, with {_SETTINGS} of the other Sentinels, or "
                "take it out of the URL.",
            )
        return
    words = [bytes(word).decode(errors="replace") for word in reply]
    facts = dict(zip(words[::2], words[1::2], strict=False))
    sentinels = 1 + int(facts.get("num-other-sentinels", 0))
    named = f"{facts.get('ip')}:{facts.get('port')}"
    others = set(case.named_primaries.values()) - {named}
    case.named_primaries[server.server.address] = named
    if others:
        yield problem(
            f"this Sentinel names {named} as the primary, and another one names {min(others)}: clients can write to "
            "different servers, whose sessions differ",
            "If a failover is in progress, run the doctor again. Otherwise, find the right primary with `ROLE` on both "
            f"servers. On each Sentinel that is wrong, run `SENTINEL REMOVE {name}` and `SENTINEL MONITOR {name} HOST "
            f"PORT QUORUM`, and set {_SETTINGS} again, which REMOVE forgets.",
        )
    if "down" in facts.get("flags", ""):
        yield problem(
            f"this Sentinel sees the primary as down ({facts['flags']})",
            "Look at the logs of primary and Sentinels. If the primary works, this Sentinel cannot reach it.",
        )
    async for verdict in _quorum(server, name, sentinels, int(facts.get("quorum", 1))):
        yield verdict


async def _quorum(server: Facts, name: str, sentinels: int, quorum: int) -> AsyncIterator[Verdict]:
    majority = sentinels // 2 + 1
    refusal = ""
    try:
        await server.server.query("SENTINEL", "CKQUORUM", name)
    except (RefusedError, UnansweredError) as error:
        refusal = str(error)
    if quorum > sentinels:
        yield problem(
            f"the quorum is {quorum}, and this Sentinel knows of {sentinels} in all: there is never a failover",
            "Start the Sentinels that are missing. If there are no others, run "
            f"`SENTINEL SET {name} quorum {majority}` on each of them.",
        )
    elif refusal.startswith("NOQUORUM"):
        yield problem(
            f"too few Sentinels are up to fail over: {refusal.removeprefix('NOQUORUM ')}",
            f"Start the missing Sentinels: {max(majority, quorum)} of {sentinels} must be up. If some are gone for "
            f"good, run `SENTINEL RESET {name}` on one of the others after the other, 30 s apart, while the primary "
            "and its replicas are up: a Sentinel that is reset during an outage forgets the replicas.",
        )
    elif sentinels < _FEW_SENTINELS:
        yield warning(
            f"there {'is only one Sentinel' if sentinels == 1 else 'are only two Sentinels'}: if one is down, there "
            "is no failover",
            "Run at least three, on machines that do not fail together.",
        )
    else:
        yield ok(f"{sentinels} Sentinels monitor the primary, and {max(majority, quorum)} of them can fail over")
