"""The services of the Compose file, as local processes with the same commands and configuration files."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.deployment.files import DEPLOY, compose, entrypoint
from tests.deployment.host import Host, host, until
from tests.harness.children import Child

SERVICES = compose()["services"]
CALL_TIMEOUT = "2"
"""Seconds until an outage is noticed."""


def port_of(address: str) -> str:
    """Return the port of HOST:PORT."""
    return address.rpartition(":")[2]


class Deployment:
    """The running services."""

    def __init__(self, place: Host) -> None:
        self.place = place
        assert place.run(["sh", str(DEPLOY / "create_secrets.sh"), str(place.secrets)]).returncode == 0
        self.valkey = place.address("valkey:6379")
        self.shop = place.address("127.0.0.1:8000")
        self.metrics = place.address("127.0.0.1:9464")
        place.replacements |= {
            "8000": port_of(self.shop),
            "9464": port_of(self.metrics),
            "/tmp/metrics": str(place.folder / "metrics"),
        }
        self.children: dict[str, Child] = {}

    def start(self, name: str) -> Child:
        """Start a service as its container does."""
        service = SERVICES[name]
        command = list(service["command"])
        if name == "valkey":
            command += ["--port", port_of(self.valkey)]
        else:
            command = [*entrypoint(), *command]
        given = {"SESSION_REDIS_CALL_TIMEOUT": CALL_TIMEOUT, **service.get("environment", {})}
        self.children[name] = self.place.start(name, command, given)
        return self.children[name]

    def login(self, user: str) -> redis.Redis:
        """Return a client of a user of users.acl."""
        password = (self.place.secrets / f"valkey_{user}_password").read_text()
        return redis.Redis(
            "127.0.0.1", int(port_of(self.valkey)), username=user, password=password, decode_responses=True
        )

    @property
    def url(self) -> str:
        """The URL of the store, as the application gets it."""
        password = (self.place.secrets / "valkey_app_password").read_text()
        return f"redis://app:{password}@{self.valkey}/0"

    def is_healthy(self, name: str) -> bool:
        """Run the health check of a service."""
        kind, *command = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self.place.run(command).returncode == 0

    def scrape(self, service: str) -> list[Any]:
        """Return the samples of a service."""
        address = {"shop": self.shop, "relay": self.metrics}[service]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as response:
            from prometheus_client.parser import text_string_to_metric_families

            families = text_string_to_metric_families(response.read().decode())
        return [sample for family in families for sample in family.samples]

    def get(self, path: str) -> int:
        """Return the status of a response of the shop."""
        try:
            with urllib.request.urlopen(f"http://{self.shop}{path}", timeout=30) as response:
                status: int = response.status
                return status
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code


@contextmanager
def running(folder: Path) -> Iterator[Deployment]:
    """Run Valkey, the shop, and the relay. At the end, they must stop when they are told to."""
    with host(folder) as place:
        deployed = Deployment(place)
        valkey = deployed.start("valkey")
        until(lambda: deployed.login("app").ping(), "Valkey", valkey)
        services = [deployed.start(name) for name in ("shop", "relay")]
        until(lambda: deployed.get("/readyz") == 200 and deployed.scrape("relay"), "shop and relay", *services)
        assert all(map(deployed.is_healthy, ("shop", "relay")))
        yield deployed
        for child in deployed.children.values():
            child.process.send_signal(signal.SIGTERM)
        codes = {name: child.wait() for name, child in deployed.children.items()}
        assert codes == dict.fromkeys(codes, 0), {name: deployed.children[name].printed()[-2000:] for name in codes}
