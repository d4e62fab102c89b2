"""Metrics of connections, caches, and keys, on real servers."""

from __future__ import annotations

import asyncio
import signal

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.cache import LocalCache
from chuk_sessions.encryption import Encryption, generate_key
from chuk_sessions.exceptions import OutcomeUnknownError, ProviderError
from chuk_sessions.providers import redis
from tests.harness.farms import Proxy
from tests.harness.servers import Server
from tests.redis.tools import until
from tests.telemetry.tools import Metrics


async def test_connections_and_reconnects_are_exported(own_server: Server):
    with Proxy(own_server.port) as proxy:
        async with SessionManager("test", redis.factory(f"redis://127.0.0.1:{proxy.port}")) as manager:
            metrics = Metrics(manager)
            session_id = await manager.allocate_session()
            assert metrics.value("connections") == 1
            assert metrics.value("reconnects_total") == 0
            proxy.cut()
            await until(lambda: metrics.value("connections") == 0)
            assert await manager.validate_session(session_id)
            assert metrics.value("reconnects_total") == 1


async def test_calls_in_flight_and_waiting_are_exported(own_server: Server):
    factory = redis.factory(own_server.url, max_in_flight=2, call_timeout=30.0)
    async with SessionManager("test", factory) as manager:
        metrics = Metrics(factory)
        session_id = await manager.allocate_session()
        own_server.signal(signal.SIGSTOP)
        calls = [asyncio.create_task(manager.validate_session(session_id)) for _ in range(5)]
        await until(lambda: metrics.value("calls_waiting") == 3)
        assert metrics.value("calls_in_flight") == 2
        own_server.signal(signal.SIGCONT)
        assert all(await asyncio.gather(*calls))
        assert metrics.value("calls_in_flight") == metrics.value("calls_waiting") == 0


async def test_a_lost_reply_is_a_retry_or_an_unknown_outcome(own_server: Server):
    factory = redis.factory(own_server.url, call_timeout=1.0)
    async with SessionManager("test", factory) as manager:
        metrics = Metrics(manager)
        session_id = await manager.allocate_session()
        own_server.signal(signal.SIGSTOP)
        with pytest.raises(OutcomeUnknownError):
            await manager.extend_session_ttl(session_id, 1)
        own_server.signal(signal.SIGCONT)
        assert metrics.value("calls_total", operation="extend", outcome="outcome_unknown") == 1
        assert metrics.value("outcomes_unknown_total") == 1


async def test_an_outage_is_in_the_outcomes(own_server: Server):
    async with SessionManager("test", redis.factory(own_server.url, call_timeout=1.0)) as manager:
        metrics = Metrics(manager)
        session_id = await manager.allocate_session()
        own_server.kill()
        for _ in range(3):
            with pytest.raises(ProviderError):
                await manager.validate_session(session_id)
        found = {
            outcome: metrics.value("calls_total", operation="validate", outcome=outcome)
            for outcome in ("timeout", "unavailable")
        }
        assert sum(number or 0 for number in found.values()) == 3
        assert metrics.value("outcomes_unknown_total") == 0


async def test_the_figures_of_a_cache_are_exported(own_server: Server):
    cache = LocalCache(max_staleness_seconds=2)
    async with SessionManager(
        "test", redis.factory(own_server.url), touch_interval_seconds=60, local_cache=cache
    ) as manager:
        metrics = Metrics(manager)
        session_id = await manager.allocate_session()
        await until_cached(manager, session_id)
        hits = metrics.value("cache_hits_total")
        assert hits is not None
        assert await manager.validate_session(session_id)
        assert metrics.value("cache_hits_total") == hits + 1
        assert metrics.value("cache_sessions") == 1
        assert metrics.value("cache_managers", state="tracking") == 1
        assert metrics.value("cache_max_staleness_seconds") == 2
        staleness = metrics.value("cache_staleness_seconds")
        assert staleness is not None
        assert 0 <= staleness <= 2
    assert metrics.value("calls_in_flight") == 0


async def until_cached(manager: SessionManager, session_id: str) -> None:
    async with asyncio.timeout(10):
        while manager.cached_session(session_id) is None:
            await manager.validate_session(session_id)
            await asyncio.sleep(0.01)


async def test_keys_in_use_are_exported():
    old = {"2026-01": generate_key(), "index": generate_key()}
    encryption = Encryption({**old, "2026-02": generate_key()}, primary="2026-02")
    async with SessionManager("test", encryption=Encryption(old, primary="2026-01")) as before:
        session_id = await before.allocate_session(custom_metadata={"word": "x"})
        async with SessionManager("test", before.session_factory, encryption=encryption) as manager:
            metrics = Metrics(manager)
            await manager.get_session_metadata(session_id)
            await manager.allocate_session(custom_metadata={"word": "x"})
            assert metrics.value("encryption_keys", key="2026-02", role="primary") == 1
            assert metrics.value("encryption_keys", key="2026-01", role="old") == 1
            assert metrics.value("encryption_key_uses_total", key="2026-02") == 1
            # Both managers are in this process: one has encrypted with the key, and the other has decrypted.
            assert metrics.value("encryption_key_uses_total", key="2026-01") == 2
