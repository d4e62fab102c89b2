"""The shops: one example for each framework, run by two worker processes."""

from __future__ import annotations

import importlib.util
import json
import shlex
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.conftest import missing
from tests.harness import children
from tests.harness.children import Child
from tests.harness.ports import free_port
from tests.harness.servers import Server

WORKERS = 2
START_TIMEOUT = 60.0
CALL_TIMEOUT = 2.0
"""Seconds after which a call of the store fails during an outage. A busy machine must not take as long for a call."""

UVICORN = "-m uvicorn --workers 2 --port {port} --no-access-log"
_GUNICORN = "-W ignore::DeprecationWarning -m gunicorn --workers 2 --no-control-socket --bind 127.0.0.1:{port}"
_AIOHTTP = "--worker-class aiohttp.GunicornWebWorker"


@dataclass(frozen=True)
class Shop:
    """An example, and how it is run.

    Attributes:
        name: of its module in examples/web, without `_app`.
        packages: that it needs.
        command: arguments of Python that run it on a port.
        token_cookie: that has the CSRF token, if the framework sends it in a cookie. Other shops have a route for it.

    """

    name: str
    packages: tuple[str, ...]
    command: str
    token_cookie: str | None = None


SHOPS = [
    Shop("fastapi", ("fastapi", "uvicorn"), f"{UVICORN} examples.web.fastapi_app:app"),
    Shop("litestar", ("litestar", "uvicorn"), f"{UVICORN} examples.web.litestar_app:app", "csrftoken"),
    Shop("flask", ("flask", "flask_wtf", "gunicorn"), f"{_GUNICORN} --threads 8 examples.web.flask_app:app"),
    Shop("django", ("django", "gunicorn"), f"{_GUNICORN} --threads 8 examples.web.django_app:app"),
    Shop("aiohttp", ("aiohttp_session", "gunicorn"), f"{_GUNICORN} {_AIOHTTP} examples.web.aiohttp_app:shop"),
]
MCP_SHOP = Shop("fastmcp", ("fastmcp", "uvicorn"), f"{UVICORN} examples.web.fastmcp_app:app")


@dataclass
class Site:
    """A running web shop.

    Attributes:
        workers: the process ids of its workers.
        secrets: that its logs must not have.

    """

    shop: Shop
    url: str
    workers: set[int] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)

    def wait_for_workers(self) -> None:
        """Wait until each worker has replied."""
        with ThreadPoolExecutor(8) as pool:
            while len(self.workers) < WORKERS:
                self.workers.update(pool.map(self._worker, range(8)))

    def _worker(self, _: int) -> int:
        with urllib.request.urlopen(f"{self.url}/cart", timeout=START_TIMEOUT) as response:
            worker: int = json.load(response)["worker"]
            return worker


@contextmanager
def running(shop: Shop, store: Server, **variables: str) -> Iterator[tuple[int, Child]]:
    """Run a shop, and yield its port and process. At the end, it must stop when it is told to."""
    for package in shop.packages:
        if importlib.util.find_spec(package) is None:
            missing(f"the package {package} is not installed")
    port = free_port()
    variables |= {
        "SESSION_PROVIDER": "redis",
        "SESSION_REDIS_URL": store.url,
        "SESSION_REDIS_CALL_TIMEOUT": str(CALL_TIMEOUT),
        "SECRET_KEY": "a key of the tests",
    }
    with children.running(sys.executable, *shlex.split(shop.command.format(port=port)), **variables) as child:
        try:
            _wait_until(lambda: _listens(port), child)
            yield port, child
        finally:
            child.process.terminate()
            code = child.wait()
        assert code == 0, child.printed()


@contextmanager
def open_shop(shop: Shop, store: Server) -> Iterator[Site]:
    """Run a web shop. Its workers must not log a secret."""
    with running(shop, store, CHUK_SANDBOX_ID=shop.name) as (port, child):
        site = Site(shop, f"http://127.0.0.1:{port}")
        site.wait_for_workers()
        yield site
        printed = child.printed()
    assert [secret for secret in site.secrets if secret in printed] == []


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until(condition: Callable[[], bool], child: Child) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while not condition():
        assert child.process.poll() is None, child.printed()
        assert time.monotonic() < give_up, child.printed()
        time.sleep(0.02)
