"""The StatefulSet's commands, as local processes: failovers and restarts keep the sessions."""

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
        given["VALKEY_DATA"] = str(self.place.make(f"pod-{number}"))  # one volume for both containers
        return self.place.start(f"{name}-{number}", wanted["command"], given)

    def info(self, number: int) -> Any:
        host, _, port = self.servers[number].partition(":")
        password = (self.place.secrets / "valkey_app_password").read_text()
        with redis.Redis(host, int(port), username="app", password=password) as client:
            return client.info("replication")

    def follows(self, number: int) -> bool:
        """Tell whether a server is a replica that has all data."""
        state = self.info(number)
        return bool(state["role"] == "slave" and state["master_link_status"] == "up")

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


def stop(*children: Child) -> None:
    """Kill processes."""
    for child in children:
        child.process.kill()
        child.process.wait()


async def test_sessions_survive_a_failover_and_a_restart_of_all_pods(tmp_path):
    with host(tmp_path) as place:
        pods = Pods(place)
        servers = [pods.start(number, "valkey") for number in NUMBERS]
        until(lambda: pods.info(0)["min_slaves_good_slaves"] == len(NUMBERS) - 1, "replicas", *servers)
        sentinels = [pods.start(number, "sentinel") for number in NUMBERS]
        until(lambda: all(map(pods.sees_all, NUMBERS)), "Sentinels", *servers, *sentinels)
        async with SessionManager("shop", provider.factory(pods.url(), call_timeout=30, wait_replicas=1)) as manager:
            session_id = await manager.allocate_session(user_id="alice")
            stop(servers[0], sentinels[0])
            assert await is_valid(manager, session_id)
            later = await manager.allocate_session(user_id="bob")

            # All pods restart, and the one that missed the failover is the first.
            stop(*servers[1:], *sentinels[1:])
            servers[0], sentinels[0] = pods.start(0, "valkey"), pods.start(0, "sentinel")
            until(lambda: pods.info(0)["role"] == "master", "the old primary alone", servers[0])
            for number in NUMBERS[1:]:
                servers[number], sentinels[number] = pods.start(number, "valkey"), pods.start(number, "sentinel")
            assert await is_valid(manager, session_id)
            assert await is_valid(manager, later)

        # A server that restarts alone asks the Sentinels, and is a replica from the start.
        stop(servers[0])
        servers[0] = pods.start(0, "valkey")
        until(lambda: pods.follows(0), "the restarted replica", servers[0])
        assert "\nreplicaof " in (place.folder / "valkey-0-run" / "replication.conf").read_text()
