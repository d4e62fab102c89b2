"""The suite web: a small application with this library's integrations, and with other packages for sessions.

Each application is one worker process of uvicorn or gunicorn, with a real store. A load generator sends requests over
keep-alive connections, from a process of its own. It shares a core with the store, because the application needs the
other one for itself.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from threading import Barrier
from typing import Any, Self

from benchmarks.harness import cores, environments
from benchmarks.harness.cores import running_server
from benchmarks.harness.environments import PEERS, ROOT, WEB
from benchmarks.harness.process import OURS, Sample, Worker
from benchmarks.harness.rounds import RunSettings, Task, enter_all, measure_rounds
from benchmarks.report.results import Kept, Results
from tests.harness.ports import free_port
from tests.harness.servers import Server

CALLERS = 16
SESSIONS = 1000
ADDITIONS = 20
"""Concurrent requests of one session, each of which adds an item to the cart."""
VIEWS = ("nothing", "read", "count")
NO_SESSIONS = "no sessions"
START_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Group:
    """Applications on one framework: its name in the report, the program's module, and the packages to compare."""

    title: str
    module: str
    packages: tuple[str, ...]
    is_asgi: bool = False

    def command(self, port: int) -> list[str]:
        """Return the arguments of Python that serve the application with one worker process."""
        target = f"benchmarks.peers.{self.module}:app"
        if self.is_asgi:
            options = ["--port", str(port), "--log-level", "error", "--no-access-log", "--timeout-keep-alive", "3600"]
            return ["-m", "uvicorn", *options, target]
        options = ["--bind", f"127.0.0.1:{port}", "--log-level", "error", "--keep-alive", "3600"]
        return ["-m", "gunicorn", "--threads", str(ADDITIONS), "--no-control-socket", *options, target]


GROUPS = (
    Group(
        "Starlette, uvicorn", "web_starlette", (OURS, "starsessions", "Starlette's cookies", NO_SESSIONS), is_asgi=True
    ),
    Group("Flask, gunicorn", "web_flask", (OURS, "Flask-Session", "Flask's cookies")),
    Group("Django, gunicorn", "web_django", (OURS, "Django's cache", "Django's cookies")),
)


class Application:
    """A running application and its load generator. It measures like a Worker, but `cpu` is the application's."""

    def __init__(self, group: Group, package: str, store: Server) -> None:
        self._group = group
        self._package = package
        self._store = store
        self._port = free_port()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._process = self._start()
            stack.callback(self._stop)
            self._wait()
            sessions = 0 if self._package == NO_SESSIONS else SESSIONS
            options: dict[str, Any] = {"port": self._port, "sessions": sessions, "servers": [self._store.port]}
            load = Worker(WEB, program="web_load", placement=cores.on_server_core(), **options)
            self._load = stack.enter_context(load)
            for view in filter(self.supports, VIEWS):
                # The first measurement would otherwise include a warm-up.
                self._load.measure(view, CALLERS, 0.1)
            self._stack = stack.pop_all()
        return self

    def _start(self) -> subprocess.Popen[bytes]:
        variables = environments.environment_variables(ROOT if self._package == OURS else None)
        with cores.on_client_cores(self._package):
            return subprocess.Popen(
                [str(environments.interpreter(WEB)), *self._group.command(self._port)],
                cwd=PEERS,
                env={**variables, "WEB_SESSIONS": self._package, "WEB_URL": self._store.url},
            )

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> None:
        give_up = time.monotonic() + START_TIMEOUT
        while time.monotonic() < give_up and self._process.poll() is None:
            try:
                self.get("nothing")
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"the application with {self._package} did not start")

    def get(self, view: str, cookie: str = "") -> tuple[dict[str, Any], str]:
        """Return the JSON of a view, and the cookie to send next."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", f"/{view}", headers={"Cookie": cookie} if cookie else {})
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise RuntimeError(f"{self._package}: {response.status} {body.decode(errors='replace')}")
            return json.loads(body), response.headers.get("Set-Cookie", "").partition(";")[0] or cookie
        finally:
            connection.close()

    def supports(self, operation: str) -> bool:
        """Return whether the application has that view."""
        return operation == "nothing" or self._package != NO_SESSIONS

    def measure(self, operation: str, callers: int, seconds: float) -> Sample:
        """Send requests for that many seconds. Returns the CPU of the application and of the store, too."""
        before = self._cpu()
        sample = self._load.measure(operation, callers, seconds)
        return replace(sample, cpu=self._cpu() - before)

    def _cpu(self) -> float:
        return float(self.get("cpu")[0]["cpu"])

    def kept(self, view: str) -> int:
        """Add ADDITIONS items to one cart at the same time, as one browser. Return how many the cart then has."""
        _, cookie = self.get("count")
        barrier = Barrier(ADDITIONS)

        def add(number: int) -> str:
            barrier.wait()
            return self.get(f"{view}?item={number}", cookie)[1]

        with ThreadPoolExecutor(ADDITIONS) as pool:
            cookies = list(pool.map(add, range(ADDITIONS)))
        return int(self.get("items", cookies[-1])[0]["items"])


def measure(settings: RunSettings, results: Results) -> None:
    """Measure each view on each framework, and count the items that concurrent requests keep in a cart."""
    # Shorter rounds have too few requests.
    settings = replace(settings, seconds=max(1.0, settings.seconds))
    results.facts["rounds"] = f"{settings.rounds} rounds of {settings.seconds:g} s"
    for group in GROUPS:
        with running_server(settings.server) as store, ExitStack() as stack:
            applications = {package: Application(group, package, store) for package in group.packages}
            enter_all(stack, applications)
            for view in VIEWS:
                task = Task("web", view, CALLERS, group.title)
                results.rows.append(measure_rounds(settings, task, applications, settings.seconds))
            results.kept += _carts(group, applications)
    results.facts |= _versions()


def _carts(group: Group, applications: dict[str, Application]) -> Iterator[Kept]:
    for package, application in applications.items():
        if package != NO_SESSIONS:
            print(f"web: carts, {package} on {group.title}", file=sys.stderr)
            best, rewritten = (application.kept(view) for view in ("cart", "rewritten_cart"))
            yield Kept(group.title, package, ADDITIONS, best, rewritten)


def _versions() -> dict[str, str]:
    """Return the versions of the packages that were measured."""
    names = ("starlette", "uvicorn", "flask", "django", "gunicorn", "starsessions", "flask-session")
    code = f"from importlib.metadata import version\nfor name in {names}: print(version(name))"
    python = str(environments.interpreter(WEB))
    lines = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return {"web packages": ", ".join(f"{name} {version}" for name, version in zip(names, lines, strict=True))}
