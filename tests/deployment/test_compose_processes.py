"""The services of the Compose file work together, and survive an outage of the store."""

from __future__ import annotations

import asyncio
import shlex

import pytest
import redis

from chuk_sessions import SessionManager
from chuk_sessions.events import WebhookEndpoints
from chuk_sessions.providers import redis as provider
from tests.conftest import bundled
from tests.deployment.files import container
from tests.deployment.host import TIMEOUT, host, until
from tests.deployment.services import SERVICES, Deployment, port_of
from tests.harness.receiver import receiving, wait_until
from tests.harness.servers import running
from tests.web_examples.visitors import crowd


def test_the_server_has_the_settings_of_the_checklist(deployment: Deployment):
    with deployment.login("operator") as client:
        settings = client.config_get("maxmemory", "maxmemory-policy", "appendonly", "hash-max-listpack-value")
    assert settings.pop("maxmemory") > "0"
    assert settings == {"maxmemory-policy": "noeviction", "appendonly": "yes", "hash-max-listpack-value": "1024"}


def test_users_have_only_their_rights(deployment: Deployment):
    with redis.Redis("127.0.0.1", int(port_of(deployment.valkey))) as anyone, deployment.login("app") as app:
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


async def test_metrics_count_the_calls_of_all_workers_and_live_sessions(deployment: Deployment):
    async with crowd(f"http://{deployment.shop}", None) as visitors:
        for number in range(4):
            await visitors.device().log_in(f"user-{number}")
    calls = [sample for sample in deployment.scrape("shop") if sample.name == "chuk_sessions_calls_total"]
    assert sum(one.value for one in calls if one.labels["operation"] == "allocate") >= 4
    until(
        lambda: (
            {"sandbox": "shop"}
            in [one.labels for one in deployment.scrape("relay") if one.name == "chuk_sessions_live_sessions"]
        ),
        "live sessions",
        deployment.children["relay"],
    )


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
        until(lambda: deployment.get(readiness) == 200, "the shop", deployment.children["valkey"])
        # The other worker may notice a moment later that the server is back.
        until(lambda: deployment.is_healthy("shop"), "both workers", deployment.children["valkey"])
        async with asyncio.timeout(TIMEOUT):
            while (cart := await device.get("/cart")).status == 503:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert cart.body["user"] == "alice"
    relay = deployment.children["relay"]
    assert relay.process.poll() is None, relay.printed()


@pytest.mark.parametrize(
    "check",
    [
        SERVICES["valkey"]["healthcheck"]["test"][1:],
        container("StatefulSet", "valkey", "valkey")["readinessProbe"]["exec"]["command"],
    ],
    ids=["compose", "kubernetes"],
)
def test_a_server_that_only_replies_with_errors_is_not_healthy(check, tmp_path):
    """While a server loads its data, it accepts connections, and refuses commands."""
    with running(bundled()) as server, server.client() as client, host(tmp_path) as place:
        check = shlex.split(shlex.join(check).replace("valkey-cli", f"valkey-cli -h 127.0.0.1 -p {server.port}"))
        assert place.run(check).returncode == 0
        client.acl_setuser("default", categories=["-@all"], commands=["+acl"])
        assert place.run(check).returncode != 0


@pytest.mark.parametrize("password", ["REPLACE-ME", "too short"])
def test_a_password_that_was_not_replaced_is_refused(password, tmp_path):
    with host(tmp_path) as place:
        (place.secrets / "valkey_app_password").write_text(password)
        refused = place.run(SERVICES["valkey"]["command"])
    assert refused.returncode == 1
    assert "valkey_app_password" in refused.stderr
