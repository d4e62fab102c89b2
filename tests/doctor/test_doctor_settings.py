"""The doctor finds each setting that endangers sessions, with advice that fits. Servers are real."""

from __future__ import annotations

import re
import shutil
import time
from contextlib import ExitStack

import pytest
import redis

from chuk_sessions.doctor import Level, examine
from tests.conftest import bundled
from tests.doctor.tools import HEALTHY, finding, findings, manager_on, setting, user
from tests.harness.farms import wait_for
from tests.harness.servers import Server, running
from tests.redis.test_rights import recipe

FAULTS = {
    # What is planted, the check that finds it, its level, and a part of what it found and of its advice.
    "eviction of any key": (
        {"maxmemory-policy": "allkeys-lru"}, "eviction", Level.PROBLEM,
        "a user who signs out everywhere stays signed in", "CONFIG SET maxmemory-policy noeviction",
    ),
    "eviction of records": (
        {"maxmemory-policy": "volatile-ttl"}, "eviction", Level.PROBLEM,
        "These are the records of sessions, and never the indexes", "a server of their own",
    ),
    "eviction without a limit yet": (
        {"maxmemory-policy": "volatile-lru", "maxmemory": "0"}, "eviction", Level.WARNING,
        "eviction begins when one is set", "CONFIG REWRITE",
    ),
    "no memory limit": (
        {"maxmemory": "0"}, "memory", Level.WARNING, "until the operating system kills it", "CONFIG SET maxmemory",
    ),
    "a limit above the machine's memory": (
        {"maxmemory": "900gb"}, "memory", Level.WARNING, "of the machine's memory", "Lower maxmemory",
    ),
    "records that are hash tables": (
        {"hash-max-listpack-value": "64"}, "encoding", Level.WARNING,
        "values of 64 bytes", "CONFIG SET hash-max-listpack-value 1024",
    ),
    "no persistence": (
        {"appendonly": "no"}, "persistence", Level.WARNING,
        "a restart of the server logs everybody out", "CONFIG SET appendonly yes",
    ),
    "snapshots only": (
        {"appendonly": "no", "save": "900 1"}, "persistence", Level.WARNING,
        "sessions that were revoked in these minutes are alive again", "CONFIG SET appendonly yes",
    ),
    "rare writes to disk": (
        {"appendfsync": "no"}, "persistence", Level.WARNING, "about 30 s", "CONFIG SET appendfsync everysec",
    ),
    "idle connections that are closed": (
        {"timeout": "10"}, "timeouts", Level.WARNING, "idle for 10 s", "CONFIG SET timeout 0",
    ),
    "connections of dead clients that stay": (
        {"tcp-keepalive": "0"}, "timeouts", Level.WARNING, "maxclients", "CONFIG SET tcp-keepalive 300",
    ),
    "replicas that do not exist": (
        {"min-replicas-to-write": "1"}, "replicas", Level.PROBLEM,
        "the server refuses writes", "Start the missing replicas",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_found_with_its_remedy(patient: Server, fault: str):
    values, check, level, found, advice = FAULTS[fault]
    with patient.client() as client, setting(client, **values):
        seen = await finding(patient.url, check)
        commands = re.findall(r"`(CONFIG SET [\w-]+ \w+)`", seen.advice)
        for command in commands:
            client.execute_command(*command.split())
        assert not commands or check not in {each.check for each in await findings(patient.url)}
    assert (seen.level, seen.server) == (level, f"127.0.0.1:{patient.port}")
    assert found in seen.found
    assert advice in seen.advice


async def test_the_healthy_server_has_no_finding(patient: Server):
    assert await findings(patient.url) == []


async def test_the_report_on_eviction_counts_what_was_lost(patient: Server):
    """An operator sees the consequence, the state, and the remedy of a server that has evicted sessions."""
    async with manager_on(patient) as manager:
        for number in range(60):
            await manager.allocate_session(user_id=f"user{number}", custom_metadata={"text": "x" * 1000})
    with patient.client() as client, setting(client, maxmemory_policy="volatile-lru", maxmemory=1_000_000):
        wait_for(lambda: client.info("stats")["evicted_keys"] > 20, "evicted keys")
        found = {each.check: each for each in await findings(patient.url, sample=None, writes=False)}
    assert "users are logged out without an error" in found["eviction"].found
    assert "keys have been evicted since the server started" in found["eviction"].found
    assert "Evicted sessions cannot be restored" in found["eviction"].advice
    assert found["memory"].level is Level.PROBLEM
    orphans = found["orphans"]
    assert "have no record" in orphans.found
    assert "eviction" in orphans.advice
    with patient.client() as client:
        past = await finding(patient.url, "eviction")
        assert past.level is Level.WARNING
        assert "noeviction now" in past.found
        client.config_resetstat()


async def test_memory_that_is_nearly_full_is_a_problem(patient: Server):
    with patient.client() as client:
        used = int(client.info("memory")["used_memory"])
        with setting(client, maxmemory=int(used * 1.04)):
            seen = await finding(patient.url, "memory", writes=False)
    assert seen.level is Level.PROBLEM
    assert "logins fail with StoreFullError" in seen.found


async def test_a_limit_comes_after_the_policy(patient: Server):
    """Under another policy, a limit below what is in use deletes sessions at once."""
    with patient.client() as client, setting(client, maxmemory=0, maxmemory_policy="allkeys-lru"):
        seen = await finding(patient.url, "memory")
    assert seen.advice.startswith("First set maxmemory-policy to noeviction")


async def test_a_server_without_a_configuration_file_is_told_so(tmp_path):
    """It refuses CONFIG REWRITE."""
    file = tmp_path / "valkey.conf"
    file.write_text("maxclients 100\n")
    with running(bundled(), *HEALTHY) as server, server.client() as client:
        for has_file in (False, True):
            if has_file:
                server.stop()
                server.command.insert(1, str(file))
                server.restart()
            with setting(client, appendfsync="no"):
                seen = await finding(server.url, "persistence")
                assert ("it refuses `CONFIG REWRITE`" in seen.advice) is not has_file
                if has_file:
                    client.config_rewrite()
                else:
                    with pytest.raises(redis.ResponseError, match="without a config file"):
                        client.config_rewrite()


@pytest.mark.parametrize("low", ["value", "entries"])
async def test_only_the_limit_that_is_low_is_raised(any_server: Server, low: str):
    """The commands fit the version of the server, and leave a setting alone that is higher than the one advised."""
    with any_server.client() as client:
        kind = "listpack" if client.config_get("hash-max-listpack-value") else "ziplist"
        names = {each: f"hash-max-{kind}-{each}" for each in ("value", "entries")}
        other = next(name for each, name in names.items() if each != low)
        with setting(client, **{names[low]: 16, other: 4096}):
            seen = await finding(any_server.url, "encoding")
            commands = re.findall(r"`(CONFIG SET [\w-]+ \d+)`", seen.advice)
            assert [command.split()[2] for command in commands] == [names[low]]
            client.execute_command(*commands[0].split())
            assert not [each for each in await findings(any_server.url) if each.check == "encoding"]


async def test_a_sandbox_is_examined_for_sweeps_among_many(patient: Server):
    async with manager_on(patient, "last") as manager:
        await manager.allocate_session(user_id="alice")
    with patient.client() as client:
        [index] = client.keys("chuk1:*/last/deadlines")
        now = client.time()[0]
        client.zadd(index, {client.zrange(index, 0, 0)[0]: (now - 7200) * 1000})
        shared = index.replace(b"/last/deadlines", b"/sandboxes")
        client.zadd(shared, {f"other{number}": (now - 9000) * 1000 for number in range(30)})
        client.zadd(shared, {"last": (now - 7200) * 1000})
        seen = await finding(patient.url, "sweep", sandbox_id="last")
    assert "1 or more expired sessions" in seen.found


async def test_many_clients_are_noticed(patient: Server):
    with patient.client() as client, setting(client, maxclients=15), ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(patient.client()).ping()
        seen = await finding(patient.url, "timeouts")
    assert "clients are connected" in seen.found


async def test_a_failed_save_is_a_problem():
    with running(bundled(), *HEALTHY, "--appendonly", "no", "--save", "900 1") as server, server.client() as client:
        client.set("something", "to save")
        shutil.rmtree(str(server.folder))
        client.bgsave()
        wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "a save that fails")
        found = [each for each in await findings(server.url) if each.check in ("persistence", "scripts")]
        assert [each.level for each in found] == [Level.PROBLEM, Level.WARNING, Level.PROBLEM]
        assert "the last snapshot (BGSAVE) failed" in found[0].found
        assert "the disk is full" in found[0].advice
        assert "failed to save its data" in found[2].found


@pytest.mark.parametrize(("ahead", "level"), [(30.0, Level.WARNING), (-300.0, Level.PROBLEM)])
async def test_clocks_that_differ_are_noticed(patient: Server, ahead: float, level: Level):
    seen = await finding(patient.url, "clock", clock=lambda: time.time() - ahead)
    assert seen.level is level
    # On a busy machine, a reading is less precise.
    [(seconds, direction)] = re.findall(r"([\d.]+) s (ahead of|behind) the one", seen.found)
    assert 0.7 * abs(ahead) < float(seconds) <= abs(ahead) + 0.1
    assert direction == ("ahead of" if ahead > 0 else "behind")
    assert "chrony" in seen.advice


async def test_a_clock_that_jumps_is_noticed(patient: Server):
    begun = time.monotonic()
    readings = []

    def clock() -> float:
        readings.append(time.monotonic() - begun)
        return time.time() + (30 if len(readings) > 2 else 0)

    seen = await finding(patient.url, "clock", clock=clock)
    assert re.search(r"moved by (2\d|30)\.\d s", seen.found)


async def test_expired_sessions_that_nobody_sweeps_are_noticed(patient: Server):
    async with manager_on(patient) as manager:
        for _ in range(5):
            await manager.allocate_session(user_id="alice")
    with patient.client() as client:
        [index] = client.keys("chuk1:*/web/deadlines")
        shared = index.replace(b"/web/deadlines", b"/sandboxes")
        seconds, _ = client.time()
        for member in client.zrange(index, 0, -1):
            client.zadd(index, {member: (seconds - 7200) * 1000})
        client.zadd(shared, {"web": (seconds - 7200) * 1000})
        seen = await finding(patient.url, "sweep")
        assert seen.level is Level.WARNING
        assert "5 or more expired sessions are still in the indexes, the first for 2 hours" in seen.found
        assert "cleanup_expired_sessions(all_sandboxes=True)" in seen.advice
        assert all(each.check != "sweep" for each in await findings(patient.url, sandbox_id="other"))
    async with manager_on(patient) as manager:
        assert await manager.cleanup_expired_sessions() == 5
    assert all(each.check != "sweep" for each in await findings(patient.url))


async def test_connections_are_closed_at_the_end(patient: Server):
    with patient.client() as client:
        before = len(client.client_list())
        await examine(patient.url)
        wait_for(lambda: len(client.client_list()) == before, "closed connections")


async def test_records_that_are_hash_tables_show_without_config(patient: Server):
    """A user who may not run CONFIG learns it from the records."""
    with patient.client() as client:
        with setting(client, hash_max_listpack_value=64):
            async with manager_on(patient) as manager:
                for _ in range(5):
                    await manager.allocate_session(custom_metadata={"agent": "x" * 100})
        with user(client, *recipe().split()) as login:
            seen = await finding(f"redis://{login}127.0.0.1:{patient.port}", "encoding")
    assert seen.level is Level.WARNING
    assert "5 of 5 sampled records are stored as hash tables" in seen.found


async def test_the_trial_session_leaves_nothing(patient: Server):
    with patient.client() as client:
        [seen] = [each for each in await examine(patient.url) if each.check == "scripts"]
        assert "created, used, and deleted (allocate, validate, read, list, extend, rotate, delete)" in seen.found
        assert client.dbsize() == 0
        commands = client.info("commandstats")["cmdstat_hset"]["calls"]
        [seen] = [each for each in await examine(patient.url, writes=False) if each.check == "scripts"]
        assert "nothing may be written" in seen.found
        assert client.info("commandstats")["cmdstat_hset"]["calls"] == commands
