"""Helpers for the tests of the doctor: a healthy server, planted faults, and findings by check."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from chuk_sessions import SessionManager
from chuk_sessions.doctor import Finding, Level, examine
from chuk_sessions.providers import redis as provider
from tests.harness.servers import Server

HEALTHY = (
    "--maxmemory", "256mb", "--maxmemory-policy", "noeviction", "--hash-max-listpack-value", "1024",
    "--appendonly", "yes", "--appendfsync", "everysec", "--repl-diskless-sync-delay", "0",
)  # fmt: skip
"""The settings of the production checklist."""


async def findings(source: Any, **options: Any) -> list[Finding]:
    """Examine a store. Return the findings with something to do or unknown."""
    return [finding for finding in await examine(source, **options) if finding.level is not Level.OK]


async def finding(source: Any, check: str, **options: Any) -> Finding:
    """Examine a store. Return the only finding of a check that is not ok."""
    [found] = [each for each in await findings(source, **options) if each.check == check]
    return found


@contextmanager
def setting(client: redis.Redis, **values: str | int) -> Iterator[None]:
    """Change settings of a server, and restore them at the end."""
    names = {name: name.replace("_", "-") for name in values}
    old = {names[name]: str(client.config_get(names[name])[names[name]]) for name in values}
    try:
        for name, value in values.items():
            client.config_set(names[name], value)
        yield
    finally:
        for name, value in old.items():
            client.config_set(name, value)


@contextmanager
def user(client: redis.Redis, *rules: str, name: str = "tester") -> Iterator[str]:
    """Create a user with these ACL rules. Yield the login part of a URL for it."""
    client.execute_command("ACL", "SETUSER", name, "reset", "on", f">{name}", *rules)
    yield f"{name}:{name}@"
    client.execute_command("ACL", "DELUSER", name)


def address_of_this_machine() -> str:
    """Return an address of this machine that is not a loopback one; empty if it has none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        address = str(probe.getsockname()[0])
    return "" if address.startswith(("127.", "0.")) else address


def manager_on(server: Server | str, sandbox_id: str = "web", **options: Any) -> SessionManager:
    """Return a manager on a server."""
    url = server if isinstance(server, str) else server.url
    return SessionManager(sandbox_id, provider.factory(url), **options)
