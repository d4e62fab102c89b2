"""The walk through docs/operating.md: its commands run in the order of the page, and show what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.deployment.files import DEPLOY, compose
from tests.deployment.host import until
from tests.deployment.services import Deployment
from tests.harness.children import ROOT, Child

PAGE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
OPERATOR = "docker compose -f deploy/compose.yaml run --rm"
CACHE = "cache:6379"
FINDING = 1


class Walk:
    """A reader of the page, who copies each command into a shell."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.place = deployment.place
        self.place.replacements["localhost:8000"] = deployment.shop
        self._sections = re.split(r"^## ", PAGE, flags=re.M)

    def blocks(self, title: str) -> list[str]:
        """Return the shell blocks of a section."""
        [section] = [text for text in self._sections if text.startswith(f"{title}\n")]
        return re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)

    def run(self, block: str, expected: int = 0) -> str:
        """Run a block in a shell. Return what it printed."""
        done = subprocess.run(
            ["bash", "-euc", self.place.local(block)], cwd=self.place.make("shell"), env=self.environment(),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == expected, (block, done.stdout, done.stderr)
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Return the environment of the operator's service, with the URL that its entry point composes."""
        service = compose()["services"]["operator"]["environment"]
        password = (self.place.secrets / "valkey_operator_password").read_text()
        given = self.place.variables(service, "operator")
        url = given["STORE_URL"].replace("{password}", password)
        return {**os.environ, **given, "SESSION_REDIS_URL": url, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def walk(deployment: Deployment) -> Walk:
    """Return a reader, if the page's tools are here."""
    for tool in ("bash", "curl"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    return Walk(deployment)


def test_an_operator_sees_finds_and_revokes_sessions(walk: Walk):
    start, login = walk.blocks("Start")
    assert "create_secrets.sh" in start
    assert f"alias chuk-sessions='{OPERATOR} operator'" in start
    assert '"user":"alice"' in walk.run(login)

    [count] = walk.blocks("See live sessions")
    assert int(walk.run(count).split()[-1]) >= 1

    table, lines = map(walk.run, walk.blocks("Find the sessions of a user"))
    found = [json.loads(line) for line in lines.splitlines()]
    assert found
    assert all(session["user"] == "alice" and session["reference"] in table for session in found)

    follow, revoke, visit = walk.blocks("Revoke them")
    with following(walk, follow) as events:
        assert "sessions were revoked" in walk.run(revoke) or len(found) == 1
        for session in found:
            events.wait_for(f"ended (revoked)  {session['reference']}  user alice")
    assert '"user":null' in walk.run(visit)


@contextmanager
def following(walk: Walk, block: str) -> Iterator[Child]:
    """Run a command in a second terminal."""
    child = walk.place.start("second-terminal", shlex.split(block), walk.environment())
    child.wait_for("following the events")
    yield child
    child.interrupt()
    child.wait()


def test_the_doctor_explains_a_server_with_eviction(walk: Walk):
    healthy, cache, ask, stop = walk.blocks("Ask the doctor")
    assert "0 problems, 0 warnings, 0 unknown" in walk.run(healthy)

    address = walk.place.address(CACHE)
    options = shlex.split(cache)[shlex.split(cache).index("valkey-server") :]
    server = walk.place.start("cache", [*options, "--port", address.rpartition(":")[2]], {})
    assert f"--env STORE_URL=redis://{CACHE}/0" in ask
    assert ask.startswith(OPERATOR)
    command = f"chuk-sessions --url redis://{CACHE}/0 {ask.split()[-1]}"
    until(lambda: "Ready to accept" in server.printed(), "the cache", server)
    said = " ".join(walk.run(command, FINDING).split())
    for text in ("PROBLEM eviction", "maxmemory-policy is allkeys-lru.", "CONFIG SET maxmemory-policy noeviction"):
        assert text in said
        assert text in " ".join(PAGE.split())
    assert stop.strip() == "docker stop cache"


def test_the_dashboard_shows_live_sessions(deployment: Deployment):
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not installed")
    folder = deployment.place.make("prometheus")
    for path in (DEPLOY / "prometheus" / "prometheus.yml", DEPLOY / "telemetry" / "alerts.yml"):
        text = path.read_text(encoding="utf-8").replace("/etc/prometheus", str(folder)).replace("15s", "200ms")
        text = text.replace("shop:8000", deployment.shop).replace("relay:9464", deployment.metrics)
        (folder / path.name).write_text(text, encoding="utf-8")
    address = deployment.place.address("localhost:9090")
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    child = deployment.place.start("prometheus", [prometheus, *options, f"--web.listen-address={address}"], {})
    until(lambda: query(address, panel("Live sessions")), "live sessions", child)
    until(lambda: query(address, panel("Calls")), "calls", child)
    [live] = query(address, panel("Live sessions"))
    assert live["metric"]["sandbox"] == "shop"


def panel(title: str) -> str:
    """Return the query of a panel for all jobs."""
    dashboard = json.loads((DEPLOY / "telemetry" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    [target, *_] = [
        target for panel in dashboard["panels"] if panel["title"] == title for target in panel.get("targets", ())
    ]
    text: str = target["expr"]
    return text.replace("$job", ".+").replace("$__rate_interval", "10s")


def query(address: str, expression: str) -> list[dict[str, Any]]:
    """Evaluate a query."""
    url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(url, timeout=30) as response:
        result: list[dict[str, Any]] = json.load(response)["data"]["result"]
        return result
