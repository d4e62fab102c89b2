"""Stores and sessions for commands."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from chuk_sessions import SessionManager, cli
from chuk_sessions.backends.memory import MemoryBackend
from chuk_sessions.cli.stores import factory_of
from chuk_sessions.providers import memory

SANDBOX = "cli"


@dataclass
class Ran:
    """The outcome of a command."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON objects that it printed."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Store:
    """A store, and commands on it in this process."""

    url: str
    capsys: Any = field(repr=False)

    def run(self, *words: str, code: int = 0) -> Ran:
        """Run a command in the sandbox with JSON output, and check its exit code."""
        return self.run_plain("--json", *words, code=code)

    def run_plain(self, *words: str, code: int = 0) -> Ran:
        """Run a command in the sandbox, and check its exit code."""
        self.capsys.readouterr()
        ended = cli.main(["--url", self.url, "--sandbox", SANDBOX, *words])
        out, err = self.capsys.readouterr()
        assert ended == code, (ended, out, err)
        return Ran(ended, out, err)

    def with_manager(self, function: Any, sandbox: str = SANDBOX, **settings: Any) -> Any:
        """Run an asynchronous function with a manager."""

        async def work() -> Any:
            async with SessionManager(sandbox, factory_of(self.url), **settings) as manager:
                return await function(manager)

        return asyncio.run(work())

    def create(self, *users: str | None, **settings: Any) -> Any:
        """Create a session for each user, one after another, and return their ids."""

        async def work(manager: SessionManager) -> list[str]:
            return [await manager.allocate_session(user_id=user, custom_metadata={"color": "red"}) for user in users]

        return self.with_manager(work, **settings)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """Remove the settings of a developer's environment, and the sessions of other tests on the shared emulator."""
    for name in ("CHUK_SANDBOX_ID", "CHUK_HOST_SANDBOX_ID", "SESSION_PROVIDER", "SESSION_REDIS_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    backend = MemoryBackend()
    monkeypatch.setattr(memory, "shared", lambda: backend)


@pytest.fixture(params=["memory", "server"])
def store(request, capsys):
    """Return the emulator and a server in turn."""
    return Store("memory://" if request.param == "memory" else request.getfixturevalue("server").url, capsys)
