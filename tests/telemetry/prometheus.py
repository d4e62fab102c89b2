"""A real Prometheus that scrapes a demo process."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deploy.telemetry
from tests.harness.ports import free_port

ROOT = Path(deploy.telemetry.__file__).parents[2]

CONFIG = """
global:
  scrape_interval: {interval}
  scrape_timeout: {interval}
  evaluation_interval: {interval}
rule_files: [{rules}]
scrape_configs:
  - job_name: demo
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the data of a reply of the API; None if there is no reply."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as response:
                return json.load(response)["data"]
        except (ConnectionError, urllib.error.URLError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code == 400:
                raise AssertionError(f"{error.read().decode()}: {parameters}") from None
            return None

    def values(self, query: str) -> list[float]:
        """Return the values of a query now, without those that are not a number."""
        found = self.get("query", query=query)
        numbers = [float(one["value"][1]) for one in (found or {}).get("result", ())]
        return [number for number in numbers if not math.isnan(number)]

    def series(self, query: str, begin: float, end: float, step: float) -> list[Any]:
        """Return the lines of a query."""
        found = self.get("query_range", query=query, start=begin, end=end, step=step)
        return list((found or {}).get("result", ()))


def prometheus_binary() -> str | None:
    return shutil.which("prometheus")


def promtool_binary() -> str | None:
    return shutil.which("promtool")


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def scraped_demo(url: str, folder: Path, interval: str, *options: str) -> Iterator[Prometheus]:
    """Run the demo on the store at `url`, and a Prometheus that scrapes it."""
    binary = prometheus_binary()
    assert binary is not None
    demo_port, port = free_port(), free_port()
    rules = ROOT / "deploy/telemetry/alerts.yml"
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(interval=interval, port=demo_port, rules=rules))
    demo = [sys.executable, "-m", "deploy.telemetry.demo", "--url", url, "--port", str(demo_port), *options]
    server = [
        binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with running(demo, folder), running(server, folder):
        yield Prometheus(port)


def wait_until(condition: Callable[[], Any], seconds: float, message: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, message()
        time.sleep(0.1)
