"""Transports (TCP, unix socket, TLS) with both protocols, and several connection slots for each node."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.exceptions import SessionUnavailableError
from tests.harness.farms import Certificates, Proxy
from tests.harness.servers import Server
from tests.redis.tools import backend_on, connections_named, echo, works


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("transport", ["tcp", "unix", "tls"])
async def test_every_transport_with_both_protocols(
    any_server: Server, certificates: Certificates, transport: str, protocol: int
):
    if transport == "unix" and any_server.folder is None:
        pytest.skip("a server given by URL has no known socket")
    with Proxy(any_server.port, tls=certificates.context) as proxy:
        url = {
            "tcp": f"{any_server.url}?protocol={protocol}",
            "unix": f"unix://{any_server.folder}/socket?protocol={protocol}",
            "tls": f"rediss://localhost:{proxy.port}?protocol={protocol}&ssl_ca_certs={certificates.authority}",
        }[transport]
        async with backend_on(url, client_name="transport") as backend:
            await works(backend)
            [connection] = connections_named(any_server, "transport")
            assert connection.get("resp", str(protocol)) == str(protocol)
        assert proxy.connections == (transport == "tls")
        assert not proxy.plainly


async def test_a_certificate_of_an_unknown_authority_is_refused(server: Server, certificates: Certificates):
    with Proxy(server.port, tls=certificates.context) as proxy:
        async with backend_on(f"rediss://localhost:{proxy.port}", retries=1) as backend:
            with pytest.raises(SessionUnavailableError, match=r"(?i)certificate"):
                await echo(backend, b"x")


async def test_a_certificate_for_another_name_is_refused(server: Server, certificates: Certificates):
    with Proxy(server.port, tls=certificates.context) as proxy:
        url = f"rediss://127.1:{proxy.port}?ssl_ca_certs={certificates.authority}"
        async with backend_on(url, retries=1) as backend:
            with pytest.raises(SessionUnavailableError, match=r"(?i)certificate"):
                await echo(backend, b"x")


async def test_insecure_tls_is_possible_with_a_warning(
    server: Server, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chuk_sessions.backends.redis.url._warned", False)
    with Proxy(server.port, tls=certificates.context) as proxy:
        with pytest.warns(RuntimeWarning, match="REDIS_TLS_INSECURE"):
            backend = RedisBackend(f"rediss://127.1:{proxy.port}", tls_insecure=True)
        assert await echo(backend, b"x") == b"x"
        await backend.aclose()


async def test_certificates_are_read_once(
    server: Server, certificates: Certificates, tls_contexts: list[ssl.SSLContext]
):
    with Proxy(server.port, tls=certificates.context) as proxy:
        url = f"rediss://localhost:{proxy.port}?ssl_ca_certs={certificates.authority}"
        async with backend_on(url) as backend:
            for _ in range(3):
                await echo(backend, b"x")
                proxy.cut()
            await echo(backend, b"x")
    assert len(tls_contexts) == 1


async def test_several_connections_per_node(server: Server):
    async with backend_on(server.url, client_name="three", connections=3) as backend:
        texts = [b"%d" % number for number in range(300)]
        for _ in range(3):
            assert await asyncio.gather(*(echo(backend, text) for text in texts)) == texts
        assert len(connections_named(server, "three")) == 3
        assert backend.stats().connections == 3
        assert backend.stats().reconnects == 0


@pytest.mark.parametrize("transport", ["tcp", "unix"])
async def test_a_server_that_evicts_is_logged_once(server: Server, caplog: pytest.LogCaptureFixture, transport: str):
    address = f"unix:{server.folder}/socket" if transport == "unix" else f"127.0.0.1:{server.port}"
    with server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        async with backend_on(f"redis://user:secret@127.0.0.1:{server.port}") as backend:
            with pytest.raises(SessionUnavailableError):
                await echo(backend, b"x")
        url = f"unix://{server.folder}/socket" if transport == "unix" else server.url
        async with backend_on(url, connections=2) as backend:
            for _ in range(3):
                await asyncio.gather(*(echo(backend, b"x") for _ in range(10)))
    finally:
        with server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
    warnings = [text for record in caplog.records if "allkeys-lru" in (text := record.getMessage())]
    assert len(warnings) == 1
    assert f"at {address} evicts" in warnings[0]
