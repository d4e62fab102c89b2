"""The suite clients: this library, other clients, and the server's own limit, all on one server."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from benchmarks.harness import workload
from benchmarks.harness.cores import running_server
from benchmarks.harness.environments import OLDEST, PUBLISHED
from benchmarks.harness.process import OURS, Worker
from benchmarks.harness.rounds import RunSettings, Task, enter_all, measure_rounds
from benchmarks.report.results import Results, Row
from benchmarks.suites import server_limit
from tests.harness.farms.certificates import Certificates
from tests.harness.farms.proxy import Proxy
from tests.harness.ports import free_port
from tests.harness.servers import Server

SCRIPTED = ("redis-py", "valkey-glide", "coredis")
PACKAGES = ("starsessions", f"chuk-sessions-{PUBLISHED}", f"chuk-sessions-{OLDEST}")
SESSION_OPERATIONS = ("allocate", "validate", "validate_interval", "read", "merge", "increment", "extend", "delete")
VALUE_OPERATIONS = ("get", "setex", "remove")
ASYNCIO_CASES = (("validate", 1), ("validate", 100), ("read", 100), ("merge", 100))


def measure(settings: RunSettings, results: Results) -> None:
    """Measure all operations with 100 callers on uvloop, and some with other numbers of callers and on asyncio."""
    with running_server(settings.server) as server, tempfile.TemporaryDirectory() as folder:
        calls = workload.write(server.url, Path(folder) / "workload.json")
        with ExitStack() as stack:
            peers = _peers(stack, server, calls, "uvloop", (*SCRIPTED, *PACKAGES))
            _note_versions(results, peers)
            results.rows += _uvloop_rows(settings, peers)
        with ExitStack() as stack:
            peers = _peers(stack, server, calls, "asyncio", SCRIPTED)
            tasks = [Task("asyncio", operation, callers, "asyncio") for operation, callers in ASYNCIO_CASES]
            results.rows += [measure_rounds(settings, task, peers) for task in tasks]


def _uvloop_rows(settings: RunSettings, peers: dict[str, Any]) -> Iterator[Row]:
    for operation in (*SESSION_OPERATIONS, *VALUE_OPERATIONS):
        yield measure_rounds(settings, Task("redis", operation, 100), peers)
    clients = {name: peer for name, peer in peers.items() if name not in PACKAGES}
    cases = [("validate", callers) for callers in (1, 10, 100, 1000)]
    if settings.long:
        cases += [(operation, callers) for operation in ("read", "merge") for callers in (1, 1000)]
    for operation, callers in cases:
        yield measure_rounds(settings, Task("callers", operation, callers), clients)


def _peers(stack: ExitStack, server: Server, calls: Path, loop: str, names: Sequence[str]) -> dict[str, Any]:
    workers = {
        name: Worker(name, url=server.url, workload=str(calls), sandbox=f"{name}-{loop}", loop=loop)
        for name in (OURS, *names, "raw")
    }
    peers = enter_all(stack, workers)
    program = server_limit.find(server, calls)
    if program is not None:
        peers[program.peer] = program
    return peers


def _note_versions(results: Results, peers: dict[str, Any]) -> None:
    for name, peer in peers.items():
        if name != OURS and (version := peer.capabilities["version"]):
            results.facts[name] = version


class _TlsServer(NamedTuple):
    """A server with TLS: its URLs without and with it, and a description of the TLS endpoint."""

    plain_url: str
    tls_url: str
    endpoint: str


def measure_tls(settings: RunSettings, results: Results) -> None:
    """Measure over TLS. A proxy provides TLS if no installed server does."""
    with tempfile.TemporaryDirectory() as folder:
        certificates = Certificates.make(Path(folder))
        with ExitStack() as stack:
            server = stack.enter_context(
                running_server(_tls_binary() or settings.server, *_tls_arguments(certificates))
            )
            tls = stack.enter_context(_tls_server(server, certificates))
            results.facts["TLS"] = tls.endpoint
            calls = workload.write(tls.plain_url, Path(folder) / "workload.json")
            names = (OURS, "redis-py")
            workers = {n: Worker(n, url=tls.tls_url, workload=str(calls), sandbox=f"tls-{n}") for n in names}
            peers = enter_all(stack, workers)
            tasks = [Task("tls", operation, 100) for operation in ("validate", "read")]
            results.rows += [measure_rounds(settings, task, peers) for task in tasks]


def _tls_binary() -> str | None:
    """Return the installed redis-server if it supports TLS, as Debian's does."""
    program = shutil.which("redis-server")
    if program is None:
        return None
    done = subprocess.run([program, "--tls-port", "x", "--port", "x"], capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    return program if "tls-port" in output and "Bad directive" not in output else None


def _tls_arguments(certificates: Certificates) -> list[str]:
    if _tls_binary() is None:
        return []
    files = {"cert-file": certificates.chain, "key-file": certificates.key, "ca-cert-file": certificates.authority}
    arguments = ["--tls-port", str(free_port()), "--tls-auth-clients", "no"]
    return [*arguments, *(word for name, path in files.items() for word in (f"--tls-{name}", str(path)))]


@contextmanager
def _tls_server(server: Server, certificates: Certificates) -> Iterator[_TlsServer]:
    if "--tls-port" in server.command:
        port = int(server.command[server.command.index("--tls-port") + 1])
        yield _TlsServer(server.url, _tls_url(port, certificates), "redis-server's own")
        return
    with Proxy(urlsplit(server.url).port or 0, tls=certificates.context) as proxy:
        endpoint = "a proxy in Python, which is slower than either client"
        yield _TlsServer(server.url, _tls_url(proxy.port, certificates), endpoint)


def _tls_url(port: int, certificates: Certificates) -> str:
    return f"rediss://127.0.0.1:{port}/0?{certificates.query}"
