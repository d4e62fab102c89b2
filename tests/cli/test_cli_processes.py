"""Commands as processes on a real server: pipes, Ctrl-C, SIGTERM, outages, and refused logins."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time

import pytest

from chuk_sessions import SessionManager, session_hash
from chuk_sessions.cli.exits import ExitCode
from chuk_sessions.core import keys
from chuk_sessions.providers import redis
from tests.conftest import bundled
from tests.harness import children
from tests.harness.ports import free_port
from tests.harness.servers import running

COMMAND = (sys.executable, "-m", "chuk_sessions")
SANDBOX = "processes"
MANY = 4000
BATCH = 250


@pytest.fixture
def own_server():
    with running(bundled()) as server:
        yield server


def process(*words, **variables):
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *words],
        cwd=children.ROOT, env=children.environment(CHUK_SANDBOX_ID=SANDBOX, **variables),
        capture_output=True, text=True, timeout=children.TIMEOUT, check=False,
    )  # fmt: skip


def following(server, *words, **variables):
    """Start a command on a server. Its output, of both kinds, is in a file."""
    variables = {"CHUK_SANDBOX_ID": SANDBOX, "SESSION_REDIS_URL": server.url, **variables}
    return children.running(*COMMAND, *words, **variables)


async def create(server, number, **settings):
    """Create sessions, and return their ids."""
    async with SessionManager(SANDBOX, redis.factory(server.url), **settings) as manager:
        found = []
        for first in range(0, number, BATCH):
            users = [f"user-{index % 7}" for index in range(first, min(number, first + BATCH))]
            found += await asyncio.gather(*[manager.allocate_session(user_id=user) for user in users])
        return found


def records(server):
    with server.client() as client:
        return client.dbsize()


def stop_halfway(server):
    """Suspend the server when a part of the sessions is gone."""
    before, give_up = records(server), time.monotonic() + children.TIMEOUT
    while records(server) > before - 100:
        assert time.monotonic() < give_up
        time.sleep(0.002)
    server.signal(signal.SIGSTOP)


def test_a_reader_may_close_the_output(server):
    asyncio.run(create(server, 1000))
    with subprocess.Popen(
        [*COMMAND, "--json", "list", "--limit", "1000"],
        cwd=children.ROOT, env=children.environment(CHUK_SANDBOX_ID=SANDBOX, SESSION_REDIS_URL=server.url),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as listing:  # fmt: skip
        assert listing.stdout is not None
        assert json.loads(listing.stdout.readline())["sandbox"] == SANDBOX
        listing.stdout.close()
        assert listing.wait(children.TIMEOUT) == ExitCode.OUTPUT_CLOSED


def test_a_closed_output_causes_no_message(server):
    asyncio.run(create(server, 300))
    environment = children.environment(CHUK_SANDBOX_ID=SANDBOX, SESSION_REDIS_URL=server.url)
    line = f"{sys.executable} -m chuk_sessions --json list --limit 300 | head -1"
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=children.ROOT, env=environment, capture_output=True, text=True, timeout=children.TIMEOUT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")


@pytest.mark.parametrize(
    ("number", "word", "code"),
    [(signal.SIGINT, "interrupted", ExitCode.INTERRUPTED), (signal.SIGTERM, "terminated", ExitCode.TERMINATED)],
)
async def test_a_signal_halfway_says_what_was_done(own_server, number, word, code):
    await create(own_server, MANY)
    with following(own_server, "revoke", "--all", "--yes") as child:
        stop_halfway(own_server)
        child.process.send_signal(number)
        own_server.signal(signal.SIGCONT)
        assert child.wait() == code
        last = child.printed().splitlines()[-1]
    assert last.startswith(f"{word}; at least ")
    assert last.endswith(" sessions were revoked")
    assert 0 < int(last.split()[3]) < MANY


async def test_a_server_that_disappears_halfway_is_an_error_with_what_was_done(own_server):
    await create(own_server, MANY)
    with following(own_server, "revoke", "--all", "--yes", SESSION_REDIS_CALL_TIMEOUT="1") as child:
        stop_halfway(own_server)
        own_server.kill()
        assert child.wait() == ExitCode.UNAVAILABLE
        last = child.printed().splitlines()[-1]
    assert last.startswith("error: ")
    assert last.endswith(" sessions were revoked")


def test_a_store_that_refuses_the_command_is_unavailable_and_no_secret_is_printed():
    with running(bundled(), password="right-secret") as server:
        wrong = process("--url", f"redis://:wrong-secret@127.0.0.1:{server.port}/0", "count")
        right = process("count", SESSION_REDIS_URL=server.url)
    closed = f"redis://:wrong-secret@127.0.0.1:{free_port()}/0"
    nobody = process("--url", closed, "count", SESSION_REDIS_CALL_TIMEOUT="1")
    for done, message in ((wrong, "does not take this user and password"), (nobody, "no answer from redis://***@")):
        assert (done.returncode, done.stdout) == (ExitCode.UNAVAILABLE, "")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert "wrong-secret" not in done.stderr
    assert (right.returncode, right.stdout, right.stderr) == (0, "0\n", "")


async def test_tail_ends_with_ctrl_c_and_resumes_after_an_outage(own_server):
    with following(own_server, "--json", "tail", "--reader", "ops") as child:
        child.wait_for("following the events")
        first, second = await create(own_server, 2, events=True)
        child.wait_for("session.created", times=2)
        child.interrupt()
        assert child.wait() == ExitCode.INTERRUPTED
        printed = child.printed()
    assert "interrupted; 2 events were printed; --reader ops continues there" in printed
    assert session_hash(first) in printed
    assert first not in printed
    assert second not in printed
    (third,) = await create(own_server, 1, events=True)
    with following(own_server, "--json", "tail", "--reader", "ops") as child:
        child.wait_for(session_hash(third))
        own_server.signal(signal.SIGSTOP)
        own_server.signal(signal.SIGCONT)
        (fourth,) = await create(own_server, 1, events=True)
        child.wait_for(session_hash(fourth))
        child.interrupt()
        assert child.wait() == ExitCode.INTERRUPTED


async def test_the_relay_sweeps_all_sandboxes_until_it_is_terminated(own_server):
    async with SessionManager("swept", redis.factory(own_server.url), default_ttl_hours=0.01 / 3600) as manager:
        for _ in range(20):
            await manager.allocate_session(user_id="alice")
    with following(own_server, "relay", "--sweep-seconds", "0.1") as child:
        child.wait_for("the relay is running")
        give_up = time.monotonic() + children.TIMEOUT
        buckets = tuple(keys.tag(bucket).encode() for bucket in range(256))
        with own_server.client() as client:
            while any(key.startswith(buckets) for key in client.keys("*swept*")):
                assert time.monotonic() < give_up
                await asyncio.sleep(0.05)
        child.process.send_signal(signal.SIGTERM)
        assert child.wait() == 0
        assert child.printed().splitlines()[-1].endswith("the relay is stopping")


def test_a_relay_that_cannot_sweep_any_more_ends(server):
    code = (
        "from chuk_sessions.cli import app, main; app.load_commands()\n"
        "from chuk_sessions.cli.commands import relay\n"
        "async def broken(*_): raise RuntimeError('a defect')\n"
        "relay._sweep = broken; main(['relay', '--no-webhooks'])"
    )
    done = children.python(code, SESSION_REDIS_URL=server.url)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "RuntimeError: a defect")


async def test_bench_deletes_its_sessions_after_ctrl_c(own_server):
    with following(own_server, "bench", "--seconds", "60", "--callers", "4") as child:
        give_up = time.monotonic() + children.TIMEOUT
        while records(own_server) < 50:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.01)
        child.interrupt()
        assert child.wait() == ExitCode.INTERRUPTED
        assert child.printed().splitlines()[-1] == "interrupted; the sandbox of the measurement is empty"
    with own_server.client() as client:
        assert {client.type(key) for key in client.keys("*bench-*")} <= {b"hash"}  # ids of operations, which expire
