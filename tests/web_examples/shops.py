"""The shops: one example for each web framework, run by two worker processes."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.conftest import missing
from tests.harness import children
from tests.harness.ports import free_port
from tests.harness.servers import Server

WORKERS = 2
START_TIMEOUT = 60.0
CALL_TIMEOUT = 1.0
"""Seconds after which a call fails during an outage."""

_UVICORN = "-m uvicorn --workers 2 --port {port} --no-access-log"
_GUNICORN = "-W ignore::DeprecationWarning -m gunicorn --workers 2 --threads 8 --no-control-socket -b 127.0.0.1:{port}"


@dataclass(frozen=True)
class Shop:
    """An example, and how it is run.

    Attributes:
        name: of its module in examples/web, without `_app`.
        packages: that it needs.
        command: arguments of Python that run it on a port.
        processes: how many of these commands are needed for two workers.

    """

    name: str
    packages: tuple[str, ...]
    command: str
    processes: int = 1


SHOPS = [
    Shop("fastapi", ("fastapi", "uvicorn"), f"{_UVICORN} examples.web.fastapi_app:app"),
    Shop("litestar", ("litestar", "uvicorn"), f"{_UVICORN} examples.web.litestar_app:app"),
    Shop("flask", ("flask", "flask_wtf", "gunicorn"), f"{_GUNICORN} examples.web.flask_app:app"),
    Shop("django", ("django", "gunicorn"), f"{_GUNICORN} examples.web.django_app:app"),
    Shop("aiohttp", ("aiohttp", "aiohttp_session"), "-m examples.web.aiohttp_app {port}", processes=2),
]


@dataclass
class Site:
    """A running shop.

    Attributes:
        workers: the process ids of its workers.
        secrets: what its logs must not have.

    """

    shop: Shop
    url: str
    workers: set[int] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)

    def wait_for_workers(self) -> None:
        """Wait until each worker has replied."""
        give_up = time.monotonic() + START_TIMEOUT
        with ThreadPoolExecutor(8) as pool:
            while len(self.workers) < WORKERS:
                assert time.monotonic() < give_up, f"workers of {self.shop.name} that reply: {self.workers}"
                self.workers.update(filter(None, pool.map(self._worker, range(8))))

    def _worker(self, _: int) -> int | None:
        try:
            with urllib.request.urlopen(f"{self.url}/me", timeout=START_TIMEOUT) as response:
                worker: int = json.load(response)["worker"]
                return worker
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.05)  # nothing listens yet
            return None


@contextmanager
def open_shop(shop: Shop, store: Server) -> Iterator[Site]:
    """Run a shop. At the end, its workers must stop when they are told to, and must not have logged a secret."""
    for package in shop.packages:
        if importlib.util.find_spec(package) is None:
            missing(f"the package {package} is not installed")
    port = free_port()
    command = [sys.executable, *shlex.split(shop.command.format(port=port))]
    variables = {
        "SESSION_PROVIDER": "redis",
        "SESSION_REDIS_URL": store.url,
        "SESSION_REDIS_CALL_TIMEOUT": str(CALL_TIMEOUT),
        "CHUK_SANDBOX_ID": shop.name,
        "SECRET_KEY": "a key of the tests",
    }
    site = Site(shop, f"http://127.0.0.1:{port}")
    with ExitStack() as stack:
        running = [stack.enter_context(children.running(*command, **variables)) for _ in range(shop.processes)]
        try:
            site.wait_for_workers()
            yield site
        finally:
            for child in running:
                child.process.terminate()
            codes = [child.wait() for child in running]
            printed = "".join(child.printed() for child in running)
        assert set(codes) <= {0}, (codes, printed)
        assert [secret for secret in site.secrets if secret in printed] == []
