"""A host on which the commands of deploy/ run as local processes: paths and addresses of containers become local."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from tests.conftest import bundled
from tests.deployment.files import DEPLOY
from tests.harness.children import ROOT, Child, environment
from tests.harness.ports import free_port

TIMEOUT = 60.0
PASSWORDS = {f"valkey_{user}_password": f"a password of {user}" for user in ("app", "operator", "replica", "sentinel")}
_COMMAND_LINE = '#!/bin/sh\nexec "{python}" -m chuk_sessions "$@"\n'
_CLI = """#!{python}
import sys
import redis
words, options = sys.argv[1:], {{"-h": "127.0.0.1", "-p": "6379"}}
fails = "-e" in words
words = [word for word in words if word != "-e"]
while words and words[0] in options:
    options[words[0]], words = words[1], words[2:]
try:
    reply = redis.Redis(options["-h"], int(options["-p"]), decode_responses=True).execute_command(*words)
except redis.ResponseError as error:
    reply = error
if isinstance(reply, dict):
    reply = [word for pair in reply.items() for word in pair]
print(*reply if isinstance(reply, list | tuple) else [reply], sep="\\n")
sys.exit(fails and isinstance(reply, redis.ResponseError))
"""


class Host:
    """A folder for files, local addresses for names in containers, and processes.

    Attributes:
        folder: for secrets, data, and output.
        replacements: texts of containers, and their local counterparts.

    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.replacements = {"/app/": f"{ROOT}/", "/etc/valkey": str(DEPLOY / "valkey"), "0.0.0.0": "127.0.0.1"}
        self.secrets = self.make("secrets")
        self.replacements["/run/secrets"] = str(self.secrets)
        self._tools = self.make("bin")
        for name in ("valkey-server", "valkey-sentinel"):
            (self._tools / name).symlink_to(bundled())
        self._add_tool("chuk-sessions", _COMMAND_LINE.format(python=sys.executable))
        if cli := shutil.which("valkey-cli") or shutil.which("redis-cli"):
            (self._tools / "valkey-cli").symlink_to(cli)
        else:
            self._add_tool("valkey-cli", _CLI.format(python=sys.executable))

    def _add_tool(self, name: str, script: str) -> None:
        (self._tools / name).write_text(script)
        (self._tools / name).chmod(0o755)

    def make(self, name: str) -> Path:
        """Create a folder."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def address(self, name: str) -> str:
        """Give an address of a container, such as `valkey:6379`, a local port. Return the local address."""
        self.replacements[name] = f"127.0.0.1:{free_port()}"
        return self.replacements[name]

    def local(self, text: str) -> str:
        """Return a text in which the paths and addresses of containers are local."""
        longest_first = sorted(self.replacements, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest_first)), lambda found: self.replacements[found[0]], text)

    def variables(self, given: dict[str, str], name: str) -> dict[str, str]:
        """Return the environment of a container's process."""
        paths = {
            "VALKEY_CONFIG": str(DEPLOY / "valkey"),
            "VALKEY_SECRETS": str(self.secrets),
            "VALKEY_RUN": str(self.make(f"{name}-run")),
            "VALKEY_DATA": str(self.make(f"{name}-data")),
            "PATH": os.pathsep.join([str(self._tools), str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        return paths | {key: self.local(value) for key, value in given.items()}

    def start(self, name: str, command: list[str], given: dict[str, str]) -> Child:
        """Start a command of a container. It is killed at the end, unless it has exited."""
        child = Child(
            [self.local(word) for word in command], self.folder / f"{name}.log", **self.variables(given, name)
        )
        self._stack.callback(_kill, child)
        return child

    def run(self, command: list[str], given: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of a container until it exits."""
        return subprocess.run(
            [self.local(word) for word in command],
            env=environment(**self.variables(given or {}, "commands")), cwd=ROOT, capture_output=True, text=True,
            timeout=TIMEOUT, check=False,
        )  # fmt: skip


@contextmanager
def host(folder: Path) -> Iterator[Host]:
    """Set a host up, and stop its processes at the end."""
    with ExitStack() as stack:
        yield Host(folder, stack)


def _kill(child: Child) -> None:
    if child.process.poll() is None:
        child.process.kill()
        child.process.wait()


def until(condition: Callable[[], object], what: str, *children: Child) -> None:
    """Wait for a condition. A server that does not respond yet does not meet it."""
    give_up = time.monotonic() + TIMEOUT
    while True:
        try:
            if condition():
                return
        except (redis.RedisError, OSError):
            pass
        printed = [child.printed()[-2000:] for child in children]
        assert all(child.process.poll() is None for child in children), printed
        assert time.monotonic() < give_up, (what, printed)
        time.sleep(0.02)
