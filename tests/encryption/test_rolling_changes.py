"""Switching encryption on, rotating keys, and switching it off, while old and new processes work: no read fails.

Each step starts processes with the next configuration while those of the step before still run, as a rolling deployment
does. The commands run meanwhile, too. With CHUK_TEST_LONG=1, there are more sessions, rounds, and steps.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chuk_sessions import SessionManager
from chuk_sessions.encryption import __main__ as commands
from chuk_sessions.providers import redis
from tests.encryption.stored import KEYS
from tests.encryption.worker import note, user

ROOT = Path(__file__).parents[2]
LONG = bool(os.environ.get("CHUK_TEST_LONG"))
SESSIONS = 100 if LONG else 10
ROUNDS = 10 if LONG else 1
OLD, NEW, INDEX = [f"{key_id}:{b64encode(KEYS[key_id]).decode()}" for key_id in ("old", "new", "index")]


def settings(url: str, *keys: str, primary: str = "", require: bool = False) -> dict[str, str]:
    """Return the environment of a step."""
    env = {"SESSION_PROVIDER": "redis", "SESSION_REDIS_URL": url}
    if keys:
        env |= {"SESSION_ENCRYPTION_KEYS": ",".join((*keys, INDEX)), "SESSION_ENCRYPTION_REQUIRE": str(int(require))}
        env |= {"SESSION_ENCRYPTION_PRIMARY": primary} if primary else {}
    return env


class Process:
    """A process of the application."""

    def __init__(self, env: dict[str, str], session_ids: list[str]) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.encryption.worker", *session_ids],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **env},
        )  # fmt: skip

    def work(self, rounds: int) -> None:
        """Wait until it has worked for some more rounds."""
        for _ in range(rounds):
            assert self._child.stdout is not None
            assert self._child.stdout.readline() == "round\n"

    def stop(self) -> int:
        """Stop it. Returns how many reads it has made; none failed."""
        output, _ = self._child.communicate(input="")
        found = json.loads(output.splitlines()[-1])
        assert found["failures"] == []
        return int(found["reads"])

    def kill(self) -> None:
        """End it in any case."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.communicate()


class Deployment:
    """The processes of the application: those of the present configuration."""

    def __init__(self, session_ids: list[str]) -> None:
        self._session_ids = session_ids
        self.processes: list[Process] = []
        self.reads = 0

    def roll(self, env: dict[str, str]) -> None:
        """Start a process with the next configuration, let both work together, and stop the old one."""
        self.processes.append(Process(env, self._session_ids))
        for process in reversed(self.processes):
            process.work(ROUNDS)
        if len(self.processes) > 1:
            self.reads += self.processes.pop(0).stop()


@contextmanager
def environment(env: dict[str, str]) -> Iterator[None]:
    """Give the commands their environment."""
    before = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def counts(env: dict[str, str], capsys) -> dict[str, int]:
    """Return what the command `list` prints."""
    capsys.readouterr()
    with environment(env):
        assert commands.main(["list", "--sandbox", "shop"]) == 0
    return {line.split()[0]: int(line.split()[1]) for line in capsys.readouterr().out.splitlines()}


async def create(url: str) -> list[str]:
    async with SessionManager("shop", redis.factory(url)) as manager:
        return [
            await manager.allocate_session(
                f"own-{number}" if number % 4 == 0 else None, user(number), custom_metadata={"note": note(number)}
            )
            for number in range(SESSIONS)
        ]


def test_no_read_fails_while_encryption_is_switched_on_rotated_and_switched_off(server, capsys, tmp_path):
    url = server.url
    session_ids = asyncio.run(create(url))
    deployment = Deployment(session_ids)
    state = ["--state", str(tmp_path / "progress")]

    def roll(*keys: str, **options) -> dict[str, str]:
        env = settings(url, *keys, **options)
        deployment.roll(env)
        return env

    def reencrypt(env: dict[str, str]) -> None:
        with environment(env):
            assert commands.main(["reencrypt", "--sandbox", "shop", *state]) == 0

    try:
        roll()
        roll(OLD, primary="none")
        env = roll(OLD)
        assert counts(env, capsys)["plain"] > 0
        reencrypt(env)
        found = counts(env, capsys)
        assert found["old"] >= SESSIONS
        assert "plain" not in found
        roll(OLD, require=True)
        roll(OLD, NEW, primary="old")
        env = roll(NEW, OLD)
        reencrypt(env)
        found = counts(env, capsys)
        assert found["new"] >= SESSIONS
        assert found["old"] == 0
        if LONG:
            roll(NEW, require=True)
            roll(NEW)
        env = roll(NEW, primary="none")
        reencrypt(env)
        assert counts(env, capsys)["new"] == 0
        roll()
        assert deployment.reads > 60
    finally:
        for process in deployment.processes:
            process.kill()
