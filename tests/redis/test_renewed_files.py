"""Certificates that are renewed while the process runs: new connections use the new files."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest
import trustme

from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.exceptions import SessionUnavailableError
from tests.harness.farms import Certificates, Proxy
from tests.harness.servers import Server
from tests.redis.tools import backend_on, echo, until, until_it_works, works


async def reconnect(backend: RedisBackend, proxy: Proxy) -> None:
    proxy.cut()
    await until(lambda: backend.stats().connections == 0)
    assert await echo(backend, b"again") == b"again"


async def test_a_replaced_authority_is_used_without_a_restart(any_server: Server, tmp_path: Path):
    old = Certificates.make(tmp_path)
    with Proxy(any_server.port, tls=old.context) as proxy:
        url = f"rediss://localhost:{proxy.port}?{old.query}"
        async with backend_on(url, call_timeout=1.0) as backend:
            await works(backend)
            (tmp_path / "new").mkdir()
            new = Certificates.make(tmp_path / "new")
            proxy.tls = new.context
            proxy.cut()
            with pytest.raises(SessionUnavailableError, match="certificate verify failed"):
                await echo(backend, b"the old authority does not vouch for this")
            new.authority.replace(old.authority)
            await until_it_works(backend)
            proxy.tls = old.context
            proxy.cut()
            with pytest.raises(SessionUnavailableError, match="certificate verify failed"):
                await echo(backend, b"the old authority is not trusted any more")


async def test_a_renewed_client_certificate_is_used(any_server: Server, tmp_path: Path, certificates: Certificates):
    def renew(authority: trustme.CA) -> None:
        issued = authority.issue_cert("client")
        issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))

    def requiring(authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.chain, certificates.key)
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
        return context

    first, second = trustme.CA(), trustme.CA()
    renew(first)
    files = f"ssl_certfile={tmp_path}/client.pem&ssl_keyfile={tmp_path}/key.pem"
    with Proxy(any_server.port, tls=requiring(first)) as proxy:
        url = f"rediss://localhost:{proxy.port}?{certificates.query}&{files}"
        async with backend_on(url, call_timeout=1.0) as backend:
            await works(backend)
            proxy.tls = requiring(second)
            proxy.cut()
            with pytest.raises(SessionUnavailableError):
                await echo(backend, b"the old certificate")
            renew(second)
            await until_it_works(backend)


async def test_files_are_read_only_when_they_change(
    any_server: Server, tmp_path: Path, tls_contexts: list[ssl.SSLContext], caplog: pytest.LogCaptureFixture
):
    files = Certificates.make(tmp_path)
    with Proxy(any_server.port, tls=files.context) as proxy:
        async with backend_on(f"rediss://localhost:{proxy.port}?{files.query}") as backend:
            await echo(backend, b"x")
            for _ in range(3):
                await reconnect(backend, proxy)
            assert len(tls_contexts) == 1
            authority = files.authority.read_bytes()
            files.authority.write_bytes(authority[:100])
            with caplog.at_level(logging.WARNING, "chuk_sessions.backends.redis.net.tls"):
                for _ in range(3):
                    await reconnect(backend, proxy)
            assert [one.message[:56] for one in caplog.records if one.name.endswith("tls")] == [
                "the changed TLS files cannot be read, the previous ones "
            ]
            files.authority.write_bytes(authority)
            before = len(tls_contexts)
            for _ in range(3):
                await reconnect(backend, proxy)
            assert len(tls_contexts) == before + 1
