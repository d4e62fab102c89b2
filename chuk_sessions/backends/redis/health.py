"""The health that the servers report by INFO, or by ROLE if the user may not run INFO."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...core import server_info
from ...models import Health
from .net.node import Node
from .net.resp import NotSentError, ReplyError, ReplyLostError

_REPORT_TIMEOUT = 1.0
"""Seconds for the report of one node."""

_NEARLY_FULL = 0.9
_ROLES = {"master": "primary", "slave": "replica"}


class Report(NamedTuple):
    """The report of one server. None marks a fact that it does not report."""

    server: str | None
    version: str | None
    role: str | None
    problems: tuple[str, ...]


async def reports(nodes: Sequence[Node], deadline: float) -> list[Report]:
    """Query all nodes concurrently. A node that does not answer is reported as a problem, not raised as an error."""
    return list(await asyncio.gather(*(_report(node, deadline) for node in nodes)))


def summary(latency_ms: float, found: Sequence[Report]) -> Health:
    """Combine the reports of all nodes: the facts of the first node that reports them, and the problems of all."""
    server = next((report.server for report in found if report.server), None)
    version = next((report.version for report in found if report.version), None)
    roles = {report.role for report in found} - {None}
    role = "primary" if "primary" in roles else next(iter(roles), None)
    problems = tuple(dict.fromkeys(problem for report in found for problem in report.problems))
    return Health(latency_ms, server, version, role, problems)


async def _report(node: Node, deadline: float) -> Report:
    try:
        async with asyncio.timeout(_REPORT_TIMEOUT):
            info = await _info(node, deadline)
            role = _ROLES.get(info.get("role", "")) or await _role(node, deadline)
    except (NotSentError, ReplyLostError, ReplyError, TimeoutError) as failure:
        reason = str(failure) or f"no reply within {_REPORT_TIMEOUT:g} s"
        return Report(None, None, None, (f"{node.address} does not answer: {reason}",))
    server = info.get("server_name", "redis" if "redis_version" in info else "") or None
    version = info.get("valkey_version") or info.get("redis_version")
    found = (f"{node.address} {problem}" for problem in _problems(info, role))
    return Report(server, version, role, tuple(found))


async def _info(node: Node, deadline: float) -> dict[str, str]:
    """Return the default sections of INFO; nothing if the user may not run it."""
    try:
        reply = await node.call(((b"INFO",),), deadline, internal=True)
    except ReplyError as refused:
        if refused.code == "NOPERM":
            return {}
        raise
    return server_info.parse(bytes(reply))


async def _role(node: Node, deadline: float) -> str | None:
    try:
        reply = await node.call(((b"ROLE",),), deadline, internal=True)
    except ReplyError:
        return None
    return _ROLES.get(reply[0].decode())


def _problems(info: Mapping[str, str], role: str | None) -> list[str]:
    found = []
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(f"evicts keys when memory is full (maxmemory-policy {policy})")
    if role == "replica":
        found.append("is a replica: it takes no writes")
    if "err" in (info.get("rdb_last_bgsave_status"), info.get("aof_last_write_status")):
        found.append("failed to save its data, and may refuse writes (MISCONF)")
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if limit and used > _NEARLY_FULL * limit:
        found.append(f"uses {100 * used // limit} % of its maxmemory")
    return found
