"""The StatefulSet's commands, as local processes: a failover keeps the sessions, and a restarted server joins again."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import redis

from chuk_sessions import SessionManager, SessionUnavailableError
from chuk_sessions.providers import redis as provider
from tests.deployment.files import container, manifest, variables
from tests.deployment.host import PASSWORDS, TIMEOUT, Host, host, until
from tests.harness.children import Child

NUMBERS = range(manifest("StatefulSet", "valkey")["spec"]["replicas"])
NAME = "sessions"


class Pods:
    """The pods of the StatefulSet."""

    def __init__(self, place: Host) -> None:
        self.place = place
        for name, password in PASSWORDS.items():
            (place.secrets / name).write_text(password.replace(" ", "-"))
        self.servers = [place.address(f"valkey-{number}.valkey:6379") for number in NUMBERS]
        self.sentinels = [place.address(f"valkey-{number}.valkey:26379") for number in NUMBERS]

    def start(self, number: int, name: str) -> Child:
        """Start a container of a pod."""
        wanted = container("StatefulSet", "valkey", name)
        given = variables(wanted, POD=f"valkey-{number}") | {"DOWN_AFTER_MS": "1000"}
        return self.place.start(f"{name}-{number}", wanted["command"], given)

    def info(self, number: int) -> Any:
        host, _, port = self.servers[number].partition(":")
        password = (self.place.secrets / "valkey_app_password").read_text()
        with redis.Redis(host, int(port), username="app", password=password) as client:
            return client.info("replication")

    def url(self) -> str:
        """Return the URL of the store, as the shop gets it."""
        [url] = [entry["value"] for entry in container("Deployment", "shop")["env"] if entry["name"] == "STORE_URL"]
        password = (self.place.secrets / "valkey_app_password").read_text()
        return self.place.local(url).replace("{password}", password)

    def sees_all(self, number: int) -> bool:
        """Tell whether a Sentinel knows the replicas and the other Sentinels."""
        address, _, port = self.sentinels[number].partition(":")
        with redis.Redis(address, int(port)) as client:
            state = client.sentinel_master(NAME)
        return (state["num-slaves"], state["num-other-sentinels"]) == (len(NUMBERS) - 1, len(NUMBERS) - 1)


async def is_valid(manager: SessionManager, session_id: str) -> bool:
    """Validate a session. The new primary refuses writes until a replica has found it."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            with contextlib.suppress(SessionUnavailableError):
                return await manager.validate_session(session_id)
            await asyncio.sleep(0.1)


async def test_a_failover_keeps_sessions_and_the_old_primary_follows(tmp_path):
    with host(tmp_path) as place:
        pods = Pods(place)
        servers = [pods.start(number, "valkey") for number in NUMBERS]
        until(lambda: pods.info(0)["min_slaves_good_slaves"] == len(NUMBERS) - 1, "replicas", *servers)
        sentinels = [pods.start(number, "sentinel") for number in NUMBERS]
        until(lambda: all(map(pods.sees_all, NUMBERS)), "Sentinels", *servers, *sentinels)
        async with SessionManager("shop", provider.factory(pods.url(), call_timeout=30, wait_replicas=1)) as manager:
            session_id = await manager.allocate_session(user_id="alice")
            servers[0].process.kill()
            servers[0].process.wait()
            assert await is_valid(manager, session_id)
        servers[0] = pods.start(0, "valkey")
        until(lambda: pods.info(0)["role"] == "slave", "the old primary", servers[0])
        until(lambda: pods.info(0)["master_link_status"] == "up", "the old primary's data", servers[0])
