"""Side by side with other clients on one server, and with what the server itself can do."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.harness import workload
from benchmarks.harness.cores import serving
from benchmarks.harness.environments import OLDEST, PUBLISHED
from benchmarks.harness.process import OURS, Worker
from benchmarks.harness.rounds import Settings, Task, enter, take_turns
from benchmarks.report.results import Results, Row
from benchmarks.suites import server_limit
from tests.harness.farms.certificates import Certificates
from tests.harness.farms.proxy import Proxy
from tests.harness.servers import Server, free_port

SCRIPTED = ("redis-py", "valkey-glide", "coredis")
PACKAGES = ("starsessions", f"chuk-sessions-{PUBLISHED}", f"chuk-sessions-{OLDEST}")
WORK = ("allocate", "validate", "validate_interval", "read", "merge", "increment", "extend", "delete")
VALUES = ("get", "setex", "remove")


def measure(settings: Settings, results: Results) -> None:
    """All work at 100 callers on uvloop, some of it with other numbers of callers and on asyncio."""
    with serving(settings.server) as server, tempfile.TemporaryDirectory() as folder:
        work = workload.write(server.url, Path(folder) / "workload.json")
        with ExitStack() as stack:
            peers = _peers(stack, server, work, "uvloop", (*SCRIPTED, *PACKAGES))
            _note_versions(results, peers)
            results.rows += [_turn(settings, peers, "redis", operation, 100) for operation in (*WORK, *VALUES)]
            few = {name: peers[name] for name in peers if name not in PACKAGES}
            results.rows += [_turn(settings, few, "callers", "validate", callers) for callers in (1, 10, 100, 1000)]
            if settings.long:
                results.rows += [_turn(settings, few, "callers", op, n) for op in ("read", "merge") for n in (1, 1000)]
        with ExitStack() as stack:
            peers = _peers(stack, server, work, "asyncio", SCRIPTED)
            for operation, callers in (("validate", 1), ("validate", 100), ("read", 100), ("merge", 100)):
                results.rows.append(_turn(settings, peers, "asyncio", operation, callers, "asyncio"))


def _peers(stack: ExitStack, server: Server, work: Path, loop: str, names: Sequence[str]) -> dict[str, Any]:
    made = {
        name: Worker(name, url=server.url, workload=str(work), sandbox=f"{name}-{loop}", loop=loop)
        for name in (OURS, *names, "raw")
    }
    peers = enter(stack, made)
    program = server_limit.found(server, work)
    if program is not None:
        peers[program.peer] = program
    return peers


def _turn(
    settings: Settings, peers: dict[str, Any], section: str, work: str, callers: int, loop: str = "uvloop"
) -> Row:
    return take_turns(settings, Task(section, work, callers, loop), peers)


def _note_versions(results: Results, peers: dict[str, Any]) -> None:
    for name, peer in peers.items():
        if name != OURS and (version := peer.about["version"]):
            results.facts[name] = version


def measure_tls(settings: Settings, results: Results) -> None:
    """Validate over TLS: of a server's own, or of a proxy before one that has none."""
    with tempfile.TemporaryDirectory() as folder:
        certificates = Certificates.make(Path(folder))
        with ExitStack() as stack:
            server = stack.enter_context(serving(_with_tls() or settings.server, *_tls_words(certificates)))
            ours, url, how = stack.enter_context(_tls(server, certificates))
            results.facts["TLS"] = how
            work = workload.write(ours, Path(folder) / "workload.json")
            made = {n: Worker(n, url=url, workload=str(work), sandbox=f"tls-{n}") for n in (OURS, "redis-py")}
            peers = enter(stack, made)
            results.rows += [_turn(settings, peers, "tls", "validate", 100), _turn(settings, peers, "tls", "read", 100)]


def _with_tls() -> str | None:
    """Debian's redis-server, where it is installed, was built with TLS."""
    program = shutil.which("redis-server")
    if program is None:
        return None
    out = subprocess.run([program, "--tls-port", "x", "--port", "x"], capture_output=True, text=True, check=False)
    return program if "tls-port" in out.stdout + out.stderr and "Bad directive" not in out.stdout + out.stderr else None


def _tls_words(certificates: Certificates) -> list[str]:
    if _with_tls() is None:
        return []
    files = {"cert-file": certificates.chain, "key-file": certificates.key, "ca-cert-file": certificates.authority}
    words = ["--tls-port", str(free_port()), "--tls-auth-clients", "no"]
    return [*words, *(word for name, path in files.items() for word in (f"--tls-{name}", str(path)))]


@contextmanager
def _tls(server: Server, certificates: Certificates) -> Iterator[tuple[str, str, str]]:
    """The server's URL without TLS, the one with it, and who speaks TLS there."""
    if "--tls-port" in server.command:
        port = int(server.command[server.command.index("--tls-port") + 1])
        yield server.url, _secure(port, certificates), "redis-server's own"
        return
    with Proxy(urlsplit(server.url).port or 0, tls=certificates.context) as proxy:
        yield server.url, _secure(proxy.port, certificates), "a proxy in Python, which is slower than either client"


def _secure(port: int, certificates: Certificates) -> str:
    return f"rediss://127.0.0.1:{port}/0?{certificates.query}"
