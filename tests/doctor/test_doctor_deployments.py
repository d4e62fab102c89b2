"""The doctor on replicas, Sentinels, clusters, the emulator, and custom providers."""

from __future__ import annotations

import math
import signal
import time
from contextlib import ExitStack

import pytest

from chuk_sessions import SessionManager, SessionUnavailableError
from chuk_sessions.backends.sharing import backend_of
from chuk_sessions.core import adoption, keys, single_use
from chuk_sessions.doctor import Level, Progress, examine, layout
from chuk_sessions.federation import Federation, generate_signing_key
from tests.conftest import bundled
from tests.doctor.tools import HEALTHY, finding, findings, manager_on, setting
from tests.harness.farms import Certificates, Member, cluster_farm, one_sentinel_over, sentinel_farm, wait_for
from tests.harness.farms.proxy import Proxy
from tests.harness.ports import free_port
from tests.harness.servers import Server, running

KEYS_IN_USE = {"s", "o", "c", "n", "p", "a", "deadlines", "users", "sandboxes", "events", "noted"}


async def use(url: str) -> None:
    """Leave sessions of all kinds, as applications do."""
    federation = Federation(keys={"k1": generate_signing_key()})
    async with manager_on(url, events=True, idle_timeout_seconds=900, federation=federation) as manager:
        for number in range(30):
            session_id = await manager.allocate_session(user_id=f"user{number % 7}" if number % 3 else None)
            await manager.update_session_metadata(session_id, {"agent": "x" * 200, "number": number})
            if number % 5 == 0:
                await manager.rotate_session(session_id, grace_seconds=60)
            elif number % 5 == 1:
                await manager.extend_session_ttl(session_id, 1)
        for number in range(5):
            await manager.allocate_session(f"chosen-{number}", "alice", mode="create")
        await manager.delete_session("chosen-0")
        session_id = await manager.allocate_session(user_id="alice")
        await manager.grant_session(session_id, to="other")
        await manager.rate_limit_session(session_id, "api", 10, 60)
        await manager.increment_session_counter(session_id, "requests", idempotency_key="once")
        await manager.rotate_session(session_id, grace_seconds=60)
        forever = await manager.allocate_session(user_id="alice", ttl_hours=math.inf)
        await manager.increment_session_counter(forever, "requests", idempotency_key="once")
        await adopt(manager)
    async with manager_on(url, "tiny", retention_seconds=1) as manager:
        await manager.allocate_session(ttl_hours=1e-7)


async def adopt(manager: SessionManager) -> None:
    """Leave a session of another store, the marker of one that may not come back, and a proof that was used."""
    backend, now = backend_of(manager.session_factory), int(1000 * time.time())
    found = adoption.Adopted(
        created=now - 5000, deadline=now + 900_000, accessed=now - 5000, idle=0, version=1,
        owner=b"", user=0, pairs=[b"m:cart", b"[1]"], fingerprint=b"first",
    )  # fmt: skip
    for call in (
        adoption.adopt(keys.session_keys("web", "sess-0a1b2c3d"), found, overlap_ms=0, retention_ms=300_000),
        adoption.block(keys.session_keys("web", "sess-4e5f6a7b"), overlap_ms=60_000),
        single_use.use_once("web", "proof", 60_000),
    ):
        await backend.run(call)


async def test_a_healthy_server_with_tls_has_no_finding(patient: Server, certificates: Certificates):
    with Proxy(patient.port, tls=certificates.context) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}?{certificates.query}"
        await use(url)
        with patient.client() as client:
            assert {name.kind for key in client.scan_iter() if (name := layout.parse(key))} == KEYS_IN_USE
        assert await findings(url) == []
        assert await findings(url, sample=None) == []


async def test_a_unix_socket_and_another_database_are_examined(patient: Server):
    url = f"unix://{patient.folder}/socket?db=3"
    await use(url)
    assert await findings(url) == []
    [seen] = [each for each in await examine(url) if each.check == "corrupt"]
    assert " 0 records" not in seen.found
    with patient.client() as client:
        client.flushall()


@pytest.fixture(scope="module")
def cluster():
    with cluster_farm(bundled(), *HEALTHY, "--min-replicas-to-write", "1") as farm:
        yield farm


@pytest.fixture(scope="module")
def sentinels():
    with sentinel_farm(bundled(), down_after_ms=60_000) as farm:
        for member in farm.members:
            for name, value in zip(HEALTHY[:-2:2], HEALTHY[1:-2:2], strict=True):
                member.command("CONFIG", "SET", name.removeprefix("--"), value)
            member.command("CONFIG", "SET", "min-replicas-to-write", 1)
        wait_for(lambda: all(not int(each.info("persistence")["aof_rewrite_in_progress"]) for each in farm.members), "")
        yield farm


async def test_a_healthy_cluster_has_no_finding(cluster):
    cluster.empty()
    await use(cluster.url)
    assert await findings(cluster.url, sample=None) == []
    servers = {each.server for each in await examine(cluster.url) if each.check == "eviction"}
    assert servers == {f"127.0.0.1:{member.port}" for member in cluster.members}
    one_node = await examine(f"redis://127.0.0.1:{cluster.members[1].port}")
    assert "a cluster: 3 primaries, 3 replicas" in one_node[0].found


async def test_healthy_sentinels_have_no_finding(sentinels):
    await use(sentinels.url)
    assert await findings(sentinels.url) == []
    first = (await examine(sentinels.url))[0]
    assert "1 primary, 2 replicas, 3 Sentinels" in first.found


async def test_a_replica_with_another_policy_is_found(cluster):
    replica = cluster.members[-1]
    with setting(replica.client, maxmemory_policy="allkeys-lru"):
        seen = await finding(cluster.url, "eviction")
    assert seen.server == f"127.0.0.1:{replica.port}"


async def test_writes_that_need_no_replica_are_found(sentinels):
    with setting(sentinels.primary().client, min_replicas_to_write=0):
        seen = await finding(sentinels.url, "replicas")
    assert seen.level is Level.WARNING
    assert "keeps taking logins and logouts, and the failover loses them" in seen.found
    assert "min-replicas-to-write 1" in seen.advice


async def test_a_sentinel_that_is_down_or_does_not_know_the_primary_is_found(sentinels):
    port = sentinels.sentinels[2].port
    wrong = sentinels.url.replace(f":{port}", f":{free_port()}")
    seen = await finding(wrong, "servers")
    assert seen.level is Level.WARNING
    assert "the sentinel does not answer" in seen.found
    sentinels.sentinels[2].command("SENTINEL", "SET", "mymaster", "quorum", 9)
    seen = await finding(sentinels.url, "sentinel")
    sentinels.sentinels[2].command("SENTINEL", "SET", "mymaster", "quorum", 2)
    assert seen.server == f"127.0.0.1:{port}"
    assert seen.level is Level.PROBLEM
    assert "the quorum is 9, and this Sentinel knows of 3 in all" in seen.found
    assert "SENTINEL SET mymaster quorum 2" in seen.advice


async def test_sentinels_that_disagree_are_found(patient: Server):
    with ExitStack() as stack:
        other = stack.enter_context(running(bundled(), *HEALTHY))
        farms = [
            stack.enter_context(one_sentinel_over(bundled(), Member(server, server.port)))
            for server in (patient, other)
        ]  # fmt: skip
        farms[0].sentinels[0].command("SENTINEL", "SET", "mymaster", "quorum", 1)
        hosts = ",".join(f"127.0.0.1:{farm.sentinels[0].port}" for farm in farms)
        found = [each for each in await findings(f"redis://{hosts}/mymaster") if each.check in ("sentinel", "replicas")]
    assert any(f"names 127.0.0.1:{other.port} as the primary, and another one" in each.found for each in found)
    assert any("there is only one Sentinel" in each.found for each in found)
    assert any("knows of 1 in all: there is never a failover" in each.found for each in found)
    assert any("no replica is connected, so Sentinels cannot fail over" in each.found for each in found)


async def test_slots_without_a_primary_and_primaries_without_a_replica_are_found():
    with cluster_farm(bundled(), *HEALTHY, replicas=False) as farm:
        found = [each for each in await findings(farm.url) if each.check == "replicas"]
        assert [each.level for each in found] == [Level.WARNING] * 3
        assert "the sessions in its slots cannot be used" in found[0].found
        for member in farm.members:
            member.command("CLUSTER", "DELSLOTS", 16380, 16381)
        wait_for(lambda: sum(1 + last - first for first, last, _ in farm.ranges()) == 16382, "a gap")
        found = [each for each in await findings(farm.url) if each.check == "cluster"]
        assert "2 of 16,384 slots have no primary" in found[0].found
        assert "redis-cli --cluster fix" in found[0].advice
        farm.members[1].server.kill()
        found = [each for each in await findings(farm.url) if each.check == "servers"]
        assert [(each.level, each.server) for each in found] == [
            (Level.PROBLEM, f"127.0.0.1:{farm.members[1].port}"),
        ]
        down, walked = farm.members[1].port, [each for each in await examine(farm.url) if each.check == "corrupt"]
        assert [(each.level, each.server) for each in walked] == [
            (Level.OK, ""), (Level.UNKNOWN, f"127.0.0.1:{down}"),
        ]  # fmt: skip


async def test_replicas_that_are_lost_or_in_front_are_found(monkeypatch):
    monkeypatch.setenv("SESSION_REDIS_CALL_TIMEOUT", "2.5")
    with ExitStack() as stack:
        primary = stack.enter_context(running(bundled(), *HEALTHY))
        replica = stack.enter_context(running(bundled(), *HEALTHY, "--replicaof", "127.0.0.1", str(primary.port)))
        client = stack.enter_context(replica.client())
        wait_for(lambda: client.info("replication")["master_link_status"] == "up", "a replica in sync")
        found = [each.check for each in await findings(primary.url)]
        assert found == ["replicas"]
        monkeypatch.setenv("SESSION_REDIS_CALL_TIMEOUT", "0.3")
        in_front = {each.check: each for each in await findings(replica.url)}
        assert in_front["role"].level is Level.PROBLEM
        assert "takes no writes" in in_front["role"].found
        assert in_front["scripts"].level is Level.PROBLEM
        replica.signal(signal.SIGSTOP)
        try:
            hangs = await finding(f"{primary.url}?socket_connect_timeout=0.3", "servers", writes=False)
        finally:
            replica.signal(signal.SIGCONT)
        # No client uses it, and its primary knows whether it keeps up.
        assert hangs.level is Level.UNKNOWN
        assert hangs.server == f"127.0.0.1:{replica.port}"


async def test_a_replica_that_only_its_primary_can_reach_is_unknown():
    """Managed services announce replicas at addresses that no client can reach."""
    with ExitStack() as stack:
        primary = stack.enter_context(running(bundled(), *HEALTHY, "--min-replicas-to-write", "1"))
        options = ("--replicaof", "127.0.0.1", str(primary.port), "--replica-announce-port", str(free_port()))
        client = stack.enter_context(stack.enter_context(running(bundled(), *HEALTHY, *options)).client())
        wait_for(lambda: client.info("replication")["master_link_status"] == "up", "a replica in sync")
        with primary.client() as of_primary:
            wait_for(lambda: of_primary.info("replication")["slave0"]["state"] == "online", "a replica online")
        [seen] = await findings(primary.url)
    assert (seen.check, seen.level) == ("servers", Level.UNKNOWN)
    assert "this machine cannot reach the replica" in seen.found


async def test_replicas_that_a_setting_waits_for_must_exist(patient: Server, monkeypatch):
    monkeypatch.setenv("SESSION_REDIS_WAIT_REPLICAS", "1")
    found = {each.check: each for each in await findings(patient.url)}
    assert "SESSION_REDIS_WAIT_REPLICAS is 1, but 0 replicas are connected" in found["replicas"].found


async def test_a_server_that_disappears_halfway_is_found(monkeypatch):
    monkeypatch.setenv("SESSION_REDIS_CALL_TIMEOUT", "1")
    with running(bundled(), *HEALTHY) as server:
        await use(server.url)
        found = await findings(server.url, on_progress=lambda _: server.kill())
    assert {each.check: each.level for each in found} == {
        "servers": Level.PROBLEM,
        "sweep": Level.UNKNOWN,
        "corrupt": Level.UNKNOWN,
        "orphans": Level.UNKNOWN,
        "undecryptable": Level.UNKNOWN,
    }


async def test_connections_that_are_cut_are_no_findings(patient: Server):
    await use(patient.url)
    cut = []
    with patient.client() as client:
        found = await findings(
            patient.url, sample=None, on_progress=lambda _: cut.append(client.client_kill_filter(_type="normal"))
        )
    assert sum(cut) > 0
    assert found == []


async def test_an_unreachable_store_raises_an_error(monkeypatch):
    monkeypatch.setenv("SESSION_REDIS_CALL_TIMEOUT", "0.3")
    with pytest.raises(SessionUnavailableError):
        await examine(f"redis://127.0.0.1:{free_port()}")


async def test_every_backend_can_be_examined(single):
    manager = single.manager()
    await manager.allocate_session(user_id="alice")
    found = await examine(single.factory)
    assert {each.check for each in found} >= {"store", "scripts"}
    assert not any(each.level is Level.PROBLEM for each in found)
    assert all(each.to_dict()["level"] in ("ok", "warning", "problem", "unknown") for each in found)


async def test_the_emulator_shows_that_sessions_are_in_this_process(monkeypatch):
    monkeypatch.setenv("SESSION_PROVIDER", "memory")
    progress: list[Progress] = []
    async with SessionManager("app") as manager:
        await manager.allocate_session("chosen", "alice")
        found = await examine(manager, on_progress=progress.append)
    assert [each.check for each in found if each.needs_action] == ["store"]
    assert "SESSION_PROVIDER=redis" in found[0].advice
    assert progress[-1].done == progress[-1].total > 0


@pytest.mark.parametrize("options", [{"sample": 0}, {"sample": True}, {"sandbox_id": "a/b"}, {"source": 7}])
async def test_malformed_arguments_raise_errors(options):
    with pytest.raises(ValueError, match=r"sample|sandbox_id|source"):
        await examine(**options)
