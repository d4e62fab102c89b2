"""The services of the Compose file, as local processes with the same commands and configuration files."""

from __future__ import annotations

import importlib.util
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import redis

from chuk_sessions import SessionManager
from chuk_sessions.events import WebhookEndpoints
from chuk_sessions.providers import redis as provider
from tests.conftest import missing
from tests.deployment.files import DEPLOY, compose, container, entrypoint
from tests.deployment.host import Host, host, until
from tests.harness.children import Child
from tests.harness.receiver import receiving, wait_until
from tests.web_examples.visitors import crowd

SERVICES = compose()["services"]
CALL_TIMEOUT = "2"
"""Seconds until an outage is noticed."""


class Deployment:
    """The running services."""

    def __init__(self, place: Host) -> None:
        self.place = place
        assert place.run(["sh", str(DEPLOY / "create_secrets.sh"), str(place.secrets)]).returncode == 0
        self.valkey = place.address("valkey:6379")
        self.shop = place.address("127.0.0.1:8000")
        place.replacements |= {"8000": self.shop.rpartition(":")[2]}
        self.children: dict[str, Child] = {}

    def start(self, name: str) -> Child:
        """Start a service as its container does."""
        service = SERVICES[name]
        command = list(service["command"])
        if name == "valkey":
            command += ["--port", self.valkey.rpartition(":")[2]]
        else:
            command = [*entrypoint(), *command]
        given = {"SESSION_REDIS_CALL_TIMEOUT": CALL_TIMEOUT, **service.get("environment", {})}
        self.children[name] = self.place.start(name, command, given)
        return self.children[name]

    def login(self, user: str) -> redis.Redis:
        """Return a client of a user of users.acl."""
        password = (self.place.secrets / f"valkey_{user}_password").read_text()
        name, _, port = self.valkey.partition(":")
        return redis.Redis(name, int(port), username=user, password=password, decode_responses=True)

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

    def get(self, path: str) -> int:
        """Return the status of a response of the shop."""
        try:
            with urllib.request.urlopen(f"http://{self.shop}{path}", timeout=30) as response:
                status: int = response.status
                return status
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run the services with code of this repository."""
    for package in ("fastapi", "uvicorn", "aiohttp"):
        if importlib.util.find_spec(package) is None:
            missing(f"the package {package} is not installed")
    with host(tmp_path_factory.mktemp("deployment")) as place:
        deployed = Deployment(place)
        valkey = deployed.start("valkey")
        until(lambda: deployed.login("app").ping(), "Valkey", valkey)
        services = [deployed.start(name) for name in ("shop", "relay")]
        until(lambda: deployed.is_healthy("shop"), "the shop", *services)
        yield deployed
        for child in deployed.children.values():
            child.process.send_signal(signal.SIGTERM)
        codes = {name: child.wait() for name, child in deployed.children.items()}
        assert codes == dict.fromkeys(codes, 0), {name: deployed.children[name].printed()[-2000:] for name in codes}


def test_the_server_has_the_settings_of_the_checklist(deployment: Deployment):
    with deployment.login("operator") as client:
        settings = client.config_get("maxmemory", "maxmemory-policy", "appendonly", "hash-max-listpack-value")
    assert settings.pop("maxmemory") > "0"
    assert settings == {"maxmemory-policy": "noeviction", "appendonly": "yes", "hash-max-listpack-value": "1024"}


def test_users_have_only_their_rights(deployment: Deployment):
    name, _, port = deployment.valkey.partition(":")
    with redis.Redis(name, int(port)) as anyone, deployment.login("app") as app:
        assert anyone.ping()
        for client, words in ((anyone, "GET a"), (app, "FLUSHALL"), (app, "CONFIG GET dir"), (app, "GET other")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*words.split())
    stored = (deployment.place.folder / "valkey-run" / "users.acl").read_text()
    assert [secret for secret in deployment.place.secrets.iterdir() if secret.read_text() in stored] == []


async def test_the_relay_sweeps_and_delivers(deployment: Deployment):
    async with (
        receiving() as receiver,
        WebhookEndpoints(deployment.url) as endpoints,
        SessionManager("shop", provider.factory(deployment.url), events=True) as manager,
    ):
        endpoint = await endpoints.add(receiver.url, types=["session.ended"], allow_private=True)
        await manager.allocate_session(user_id="bob", ttl_hours=0.2 / 3600)
        await wait_until(lambda: bool(receiver.requests))
        assert receiver.bodies[0]["data"]["reason"] == "expired"
        await endpoints.remove(endpoint.id)
        assert await manager.count_sessions(user_id="bob") == 0


async def test_probes_react_to_an_outage_and_users_stay_logged_in(deployment: Deployment):
    readiness, liveness = (
        container("Deployment", "shop")[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness")
    )
    async with crowd(f"http://{deployment.shop}", None) as visitors:
        device = visitors.device()
        await device.log_in("alice")
        assert (deployment.get(readiness), deployment.get(liveness)) == (200, 200)

        server = deployment.children["valkey"].process
        server.kill()
        server.wait()
        assert (deployment.get(readiness), deployment.get(liveness)) == (503, 200)
        assert not deployment.is_healthy("shop")

        deployment.start("valkey")
        until(lambda: deployment.is_healthy("shop"), "the shop", deployment.children["valkey"])
        assert deployment.get(readiness) == 200
        assert (await device.get("/cart")).body["user"] == "alice"
    relay = deployment.children["relay"]
    assert relay.process.poll() is None, relay.printed()


@pytest.mark.parametrize("password", ["REPLACE-ME", "too short"])
def test_a_password_that_was_not_replaced_is_refused(password, tmp_path):
    with host(tmp_path) as place:
        (place.secrets / "valkey_app_password").write_text(password)
        refused = place.run(SERVICES["valkey"]["command"])
    assert refused.returncode == 1
    assert "valkey_app_password" in refused.stderr
