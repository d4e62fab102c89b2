"""The survey of a store, the figures of relays, and the metrics that the relay process serves."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chuk_sessions.events import SessionEvents, Survey, WebhookEndpoints, WebhookRelay
from chuk_sessions.providers import redis
from chuk_sessions.telemetry.server import serving
from tests.harness.ports import free_port
from tests.harness.servers import Server
from tests.harness.worlds import World
from tests.redis.tools import until
from tests.telemetry.tools import Metrics


async def test_live_and_unswept_sessions_are_counted(world: World):
    async with world.manager("shop") as manager, Survey(world.factory, sandboxes=["shop", "blog"]) as survey:
        metrics = Metrics(survey)
        for hours in (1, 5, 5):
            await manager.allocate_session(ttl_hours=hours)
        await survey.look()
        assert metrics.value("live_sessions", sandbox="shop") == 3
        assert metrics.value("live_sessions", sandbox="blog") == 0
        assert metrics.value("oldest_unswept_seconds") == 0
        await world.advance(hours=2)
        await survey.look()
        assert metrics.value("live_sessions", sandbox="shop") == 2
        assert metrics.value("oldest_unswept_seconds") == pytest.approx(3600, abs=5)
        await manager.cleanup_expired_sessions()
        await survey.look()
        assert metrics.value("oldest_unswept_seconds") == 0


async def test_readers_are_counted_by_name_and_endpoints_together(world: World):
    endpoints = WebhookEndpoints(world.factory)
    for number in range(2):
        await endpoints.add(f"https://example.com/{number}", types=["session.created"])
    async with SessionEvents(world.factory, reader="mailer"):
        pass
    async with world.manager(events=True) as manager, Survey(world.factory) as survey:
        metrics = Metrics(survey)
        await manager.allocate_session()
        await world.advance(seconds=30)
        await survey.look()
        assert metrics.value("event_lag_events", reader="mailer") == 1
        assert metrics.value("event_lag_events", reader="webhooks") == 2
        assert metrics.value("event_lag_seconds", reader="webhooks") == pytest.approx(30, abs=5)
        assert metrics.value("events_lost_total", reader="mailer") == 0
    await endpoints.aclose()


async def test_the_figures_of_a_relay_are_exported(world: World):
    async with WebhookEndpoints(world.factory) as endpoints:
        await endpoints.add("http://127.0.0.1:9/", allow_private=True, types=["session.created"])
        async with world.manager(events=True) as manager, WebhookRelay(world.factory) as relay:
            metrics = Metrics(relay)
            assert metrics.value("webhook_endpoints", state="enabled") == 1
            assert metrics.value("webhook_attempts_total", result="failed") == 0
            await manager.allocate_session()
            await until(lambda: metrics.value("webhook_attempts_total", result="failed") == 1)
            assert metrics.value("webhooks_disabled_total", reason="failing") == 0


async def test_an_outage_is_one_line_and_keeps_the_latest_figures(own_server: Server, caplog: pytest.LogCaptureFixture):
    async with Survey(redis.factory(own_server.url, call_timeout=1.0), interval_seconds=60) as survey:
        await until(survey.figures)
        own_server.kill()
        for _ in range(3):
            await survey.round()
        assert len(_lines(caplog)) == 1
        assert survey.figures()


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "survey" in record.message]


@pytest.mark.parametrize("arguments", [{"sandboxes": "shop"}, {"sandboxes": ["a b"]}, {"interval_seconds": 0}])
def test_malformed_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=r"sandbox|interval"):
        Survey("redis://127.0.0.1:1", **arguments)


@contextmanager
def relay_process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", *arguments])
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize(
    "command",
    [("chuk_sessions.events", "relay", "--url", "URL"), ("chuk_sessions", "--url", "URL", "relay")],
    ids=["module", "command line"],
)
def test_the_relay_process_serves_metrics(command: tuple[str, ...], server: Server):
    port = free_port()
    options = ("--metrics-port", str(port), "--metrics-host", "127.0.0.1", "--count-sandbox", "shop")
    words = [server.url if word == "URL" else word for word in command]
    with relay_process(*words, *options) as process:
        deadline = time.monotonic() + 20
        while 'chuk_sessions_live_sessions{sandbox="shop"}' not in (text := _scrape(port)):
            assert process.poll() is None
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        assert "chuk_sessions_webhook_attempts_total" in text
        assert "chuk_sessions_calls_total" in text
    assert process.returncode == 0


def _scrape(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            return str(response.read().decode())
    except OSError as error:
        return str(error)


def test_a_port_in_use_ends_the_relay_with_one_line(server: Server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "chuk_sessions", "--url", server.url, "relay"]
        options = ["--metrics-port", str(port), "--metrics-host", "127.0.0.1"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"cannot serve metrics at 127.0.0.1, port {port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no.such.host.invalid", 0)])
def test_an_address_that_cannot_be_served_is_named(host: str, port: int):
    with (
        pytest.raises(OSError, match=f"{host}, port {port}"),
        serving(host, port, redis.factory("redis://127.0.0.1:1")),
    ):
        pass
