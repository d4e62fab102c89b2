"""gunicorn, for real: an application that is loaded before the fork, with workers of each kind."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.harness import children
from tests.harness.ports import free_port
from tests.harness.servers import Server

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn needs fork")

WORKERS = 2
REQUESTS = 200
APPLICATION = """
import os
from chuk_sessions.sync import SessionManager

manager = SessionManager("web")
if os.environ["EARLY"]:
    manager.validate_session("shared")

def application(environ, start_response):
    manager.allocate_session("shared")
    count = manager.increment_session_counter("shared", "n").value
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {count}".encode()]
"""


class Site:
    """A running gunicorn."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.counts: list[int] = []
        self.workers: set[int] = set()

    def request(self, _: object = None) -> None:
        """Send a request, and note which worker replied, with which count."""
        with urllib.request.urlopen(self.url, timeout=30) as response:
            worker, count = map(int, response.read().split())
        self.workers.add(worker)
        self.counts.append(count)

    def wait_for_workers(self) -> None:
        """Send requests until each worker has replied. A worker that is told to stop while it boots may stop late."""
        give_up = time.monotonic() + 60
        while len(self.workers) < WORKERS:
            assert time.monotonic() < give_up
            self.request()


@contextmanager
def gunicorn(server: Server, folder: Path, *options: str, **variables: str) -> Iterator[Site]:
    """Run gunicorn, and assert at the end that it stops without an error."""
    if not importlib.util.find_spec("gunicorn"):
        missing("the package gunicorn is not installed")
    (folder / "counter.py").write_text(APPLICATION)
    port = free_port()
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "gunicorn", "--chdir", str(folder)]
    command += ["--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}", "--no-control-socket", *options]
    variables = {"SESSION_PROVIDER": "redis", "SESSION_REDIS_URL": server.url, "EARLY": "", **variables}
    with children.running(*command, "counter:application", **variables) as child:
        child.wait_for("Booting worker", WORKERS)
        yield Site(port)
        child.process.terminate()
        assert child.wait() == 0, child.printed()
        assert "Traceback" not in child.printed()


CALL_BEFORE_FORK = {"EARLY": "1"}


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (["--worker-class=sync", "--preload"], {}),
        (["--worker-class=gthread", "--threads=8", "--preload"], CALL_BEFORE_FORK),
        (["--worker-class=gevent"], {}),
        (["--worker-class=gevent", "--preload"], CALL_BEFORE_FORK),
    ],
    ids=lambda value: "-".join(value).replace("--", "").replace("worker-class=", ""),
)
def test_workers_count_each_request_once(server, tmp_path, options, variables):
    if "gevent" in options[0] and not importlib.util.find_spec("gevent"):
        missing("the package gevent is not installed")
    with gunicorn(server, tmp_path, *options, **variables) as site:
        site.wait_for_workers()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(site.request, range(REQUESTS)))
        assert sorted(site.counts) == list(range(1, len(site.counts) + 1))
        assert len(site.workers) == WORKERS
