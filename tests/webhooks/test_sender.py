"""The HTTP client: it reaches no address that it must not reach, follows nothing, and reads no more than needed."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import pytest
from aiohttp.abc import AbstractResolver

from chuk_sessions.events.webhooks.sender import Outcome, Sender
from tests.harness.farms import Certificates
from tests.harness.receiver import OK, receiving, response

METADATA = "169.254.169.254"


class Resolver(AbstractResolver):
    """A resolver whose answers change: a list of addresses for each question, the last one forever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            {"hostname": host, "host": one, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for one in found
        ]

    async def close(self):
        pass


async def post(url, *, allow_private=True, body=b"{}", **options):
    sender = Sender(**options)
    try:
        return await sender.post(url, {"x-test": "1"}, body, allow_private=allow_private)
    finally:
        await sender.aclose()


async def test_sends_body_and_headers():
    async with receiving() as receiver:
        assert await post(receiver.url, body=b"hello") == Outcome(delivered=True)
    (request,) = receiver.requests
    assert (request.path, request.body, request.headers["x-test"]) == ("/hook", b"hello", "1")
    assert request.raw.startswith(b"POST ")


@pytest.mark.parametrize("status", [200, 202, 299])
async def test_every_status_2xx_is_success(status):
    async with receiving() as receiver:
        receiver.respond = lambda _: response(status)
        assert (await post(receiver.url)).delivered


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308, 400, 404, 500, 503])
async def test_other_statuses_are_failures(status):
    async with receiving() as receiver:
        receiver.respond = lambda _: response(status)
        assert await post(receiver.url) == Outcome(error=f"status {status}")


async def test_status_410_says_that_the_endpoint_is_gone():
    async with receiving() as receiver:
        receiver.respond = lambda _: response(410)
        assert (await post(receiver.url)).gone


async def test_a_redirect_is_not_followed():
    async with receiving() as receiver:
        receiver.respond = lambda _: response(302, Location=f"http://{METADATA}/latest/meta-data/")
        assert await post(receiver.url) == Outcome(error="status 302")
        receiver.respond = lambda _: response(307, Location=receiver.url)
        assert await post(receiver.url) == Outcome(error="status 307")
    assert len(receiver.requests) == 2


async def test_proxies_of_the_environment_are_ignored(monkeypatch):
    async with receiving() as receiver, receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert (await post(receiver.url)).delivered
    assert proxy.requests == []


async def test_an_endpoint_that_hangs_is_given_up_in_time():
    async with receiving() as receiver:
        receiver.respond = lambda _: asyncio.sleep(60, b"")
        assert await post(receiver.url, timeout_seconds=0.2) == Outcome(error="no response within 0.2 s")


@pytest.mark.parametrize("status", [200, 500])
async def test_a_response_of_100_mb_is_not_read(status):
    async with receiving() as receiver:
        head = f"HTTP/1.1 {status} Reason\r\nContent-Length: 100000000\r\n\r\n".encode()
        receiver.respond = lambda _: head + b"x" * 100_000_000
        assert (await post(receiver.url)).delivered == (status == 200)
        # What the operating system buffers on the loopback was sent, too.
        assert receiver.sent < 50_000_000


async def test_endless_headers_are_refused():
    async with receiving() as receiver:
        receiver.respond = lambda _: b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000_000
        assert not (await post(receiver.url)).delivered


async def test_garbage_is_a_failure():
    async with receiving() as receiver:
        receiver.respond = lambda _: b"220 smtp.example ESMTP\r\n"
        assert not (await post(receiver.url)).delivered


async def test_an_address_where_nobody_listens_is_a_failure():
    async with receiving() as receiver:
        url = receiver.url
    assert "failed" in (await post(url)).error


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", METADATA, "0.0.0.0"])
async def test_a_name_with_a_refused_address_is_not_reached(address):
    outcome = await post("https://hooks.example/x", allow_private=False, resolver=Resolver([address]))
    assert "refused" in outcome.error


async def test_names_whose_servers_hang_delay_no_other_name(monkeypatch):
    answers = threading.Event()
    real = socket.getaddrinfo

    def getaddrinfo(host, *rest, **options):
        if "hang" in str(host):
            answers.wait(30)
        return real("127.0.0.1" if "example" in str(host) else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with receiving() as receiver:
        sender = Sender(timeout_seconds=5)
        try:
            names = ["hang-1.example", "hang-2.example"] * 25
            hanging = [
                asyncio.create_task(sender.post(receiver.url.replace("127.0.0.1", name), {}, b"", allow_private=True))
                for name in names
            ]
            await asyncio.sleep(0)
            url = receiver.url.replace("127.0.0.1", "quick.example")
            assert await sender.post(url, {}, b"", allow_private=True) == Outcome(delivered=True)
            assert not any(task.done() for task in hanging)
            answers.set()
            assert await asyncio.gather(*hanging) == [Outcome(delivered=True)] * len(names)
        finally:
            answers.set()
            await sender.aclose()


async def test_a_name_without_addresses_is_a_failure():
    assert "cannot be resolved" in (await post("https://nothing.invalid/")).error


async def test_one_refused_address_among_others_is_enough():
    async with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "hooks.example")
        assert "refused" in (await post(url, resolver=Resolver(["127.0.0.1", METADATA]))).error
    assert receiver.requests == []


async def test_a_name_that_is_rebound_is_refused_as_soon_as_it_resolves_differently():
    async with receiving() as receiver:
        receiver.respond = lambda _: OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        url = receiver.url.replace("127.0.0.1", "hooks.example")
        resolver = Resolver(["127.0.0.1"], [METADATA])
        sender = Sender(resolver=resolver)
        try:
            first = await sender.post(url, {}, b"", allow_private=True)
            second = await sender.post(url, {}, b"", allow_private=True)
        finally:
            await sender.aclose()
    assert first.delivered
    assert "metadata" in second.error
    # One question for each connection: the answer that was checked is the one that is used.
    assert resolver.asked == ["hooks.example"] * 2
    assert receiver.requests[0].headers["host"].startswith("hooks.example:")


async def test_an_endpoint_does_not_use_the_private_connection_of_another():
    async with receiving() as receiver:
        url = receiver.url
        sender = Sender()
        try:
            assert (await sender.post(url, {}, b"", allow_private=True)).delivered
            assert "https" in (await sender.post(url, {}, b"", allow_private=False)).error
            secure = url.replace("http:", "https:")
            assert "refused" in (await sender.post(secure, {}, b"", allow_private=False)).error
        finally:
            await sender.aclose()


async def test_the_address_of_a_socket_is_checked_even_if_nothing_was_resolved():
    sender = Sender()
    try:
        connector = sender._sessions[False].connector
        with pytest.raises(OSError, match="refused"):
            connector._socket_factory((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))
    finally:
        await sender.aclose()


async def test_the_certificate_is_that_of_the_name_and_is_checked(certificates: Certificates):
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(certificates.chain, certificates.key)
    names = []
    server_tls.sni_callback = lambda _socket, name, _context: names.append(name)
    async with receiving(tls=server_tls) as receiver:
        trusting = ssl.create_default_context(cafile=certificates.authority)
        url = receiver.url.replace("127.0.0.1", "localhost")
        resolver = Resolver(["127.0.0.1"])
        assert (await post(url, tls=trusting, resolver=resolver)).delivered
        assert names == ["localhost"]
        assert "Certificate" in (await post(url, resolver=resolver)).error


async def test_retry_after_is_reported():
    async with receiving() as receiver:
        receiver.respond = lambda _: response(503, Retry_After="120")
        assert (await post(receiver.url)).retry_after_ms == 120_000
