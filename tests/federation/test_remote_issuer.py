"""The client of federation, against an issuer that was written with another JWT library."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chuk_sessions import (
    ManagerClosedError,
    ProviderError,
    SessionManager,
    SessionTimeoutError,
    SessionUnavailableError,
    session_hash,
)
from chuk_sessions.federation import Federation, Proof, ProofKey, RemoteIssuer, generate_signing_key
from chuk_sessions.sync import SessionManager as SyncSessionManager
from tests.federation.other_side import Issuer
from tests.harness.ports import free_port

A, B = "sandbox-a", "sandbox-b"
KEYS = {name: generate_signing_key() for name in (A, B)}
SESSION = session_hash("sess-1")
PATH = f"grid/{A}/{SESSION}/reports/q1"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer(A, KEYS[A], {B: {"k1": KEYS[B].public_key()}})
    with found.serving():
        yield found


@asynccontextmanager
async def resolving(url: str, key: Any = KEYS[B], **options: Any) -> AsyncIterator[SessionManager]:
    remote = RemoteIssuer(url, **options)
    federation = Federation({"k1": key}, {A: {"k1": KEYS[A].public_key()}}, remotes={A: remote})
    async with SessionManager(B, federation=federation) as manager:
        yield manager


async def test_a_grant_of_another_store_is_resolved_by_its_issuer(issuer):
    async with resolving(issuer.url) as manager:
        token = issuer.give(B, SESSION, "reports", "read list")
        found = await manager.resolve_grant(token, PATH, "read")
        assert (found.sandbox_id, found.session_hash, found.user_id) == (A, SESSION, "alice")
        assert (found.path, found.actions) == ("reports", ("read", "list"))
        assert await manager.resolve_grant(token, "reports2", "read") is None
        assert await manager.resolve_grant(token, "reports", "write") is None
        issuer.grants.clear()
        assert await manager.resolve_grant(token, PATH, "read") is None


async def test_what_is_refused_here_is_not_sent(issuer):
    async with resolving(issuer.url) as manager:
        for token in (
            issuer.give("sandbox-c", SESSION, "reports"), issuer.give(B, SESSION, "reports", iss="sandbox-x"),
            issuer.give(B, SESSION, "../x"), issuer.give(B, SESSION, "reports", cnf={"jkt": "A" * 43}), "x",
        ):  # fmt: skip
            assert await manager.resolve_grant(token, PATH, "read") is None
        assert issuer.connections == set()


async def test_a_grant_that_is_bound_to_a_key_needs_a_proof(issuer):
    key, url = ProofKey(), "https://b.example/files"
    async with resolving(issuer.url) as manager:
        token = issuer.give(B, SESSION, "reports", cnf={"jkt": key.thumbprint})
        proof = Proof(key.prove("GET", url, token), "GET", url)
        assert await manager.resolve_grant(token, PATH, proof=proof) is not None
        assert await manager.resolve_grant(token, PATH, proof=proof) is None
        other = Proof(ProofKey().prove("GET", url, token), "GET", url)
        assert await manager.resolve_grant(token, PATH, proof=other) is None


async def test_connections_are_reused(issuer):
    async with resolving(issuer.url) as manager:
        token = issuer.give(B, SESSION, "reports")
        for _ in range(5):
            assert await manager.resolve_grant(token, PATH)
        assert len(issuer.connections) == 1


async def test_a_connection_that_the_issuer_has_closed_is_no_outage(issuer):
    async with resolving(issuer.url) as manager:
        token = issuer.give(B, SESSION, "reports")
        issuer.closes = True
        for _ in range(5):
            assert await manager.resolve_grant(token, PATH)


async def test_the_last_manager_closes_the_connections(issuer):
    remote = RemoteIssuer(issuer.url)
    federation = Federation({"k1": KEYS[B]}, {A: {"k1": KEYS[A].public_key()}}, remotes={A: remote})
    token = issuer.give(B, SESSION, "reports")
    first, second = [SessionManager(B, federation=federation) for _ in range(2)]
    for manager in (first, second):
        assert await manager.resolve_grant(token, PATH)
        await manager.aclose()
        await manager.aclose()
    assert len(issuer.connections) == 1
    assert not remote._sessions
    with pytest.raises(ManagerClosedError):
        await second.resolve_grant(token, PATH)


def test_synchronous_code_resolves_grants_too(issuer):
    remote = RemoteIssuer(issuer.url)
    federation = Federation({"k1": KEYS[B]}, {A: {"k1": KEYS[A].public_key()}}, remotes={A: remote})
    token = issuer.give(B, SESSION, "reports")
    with SyncSessionManager(B, federation=federation) as manager:
        found = manager.resolve_grant(token, PATH)
        assert found is not None
        assert found.user_id == "alice"
    assert not remote._sessions


async def test_the_session_of_the_issuer_limits_the_expiry(issuer):
    async with resolving(issuer.url) as manager:
        token = issuer.give(B, SESSION, "reports")
        (claims,) = issuer.grants.values()
        for offset, expected in ((-100, 200), (100, 300)):
            issuer.grants[claims["jti"]] = {**claims, "exp": claims["iat"] + 300 + offset}
            found = await manager.resolve_grant(token, PATH)
            seconds = time.strptime(found.expires_at.partition(".")[0].rstrip("Z"), "%Y-%m-%dT%H:%M:%S")
            assert time.mktime(seconds) - time.mktime(time.gmtime(claims["iat"])) == expected


async def test_outages_are_errors(issuer):
    token = issuer.give(B, SESSION, "reports")
    async with resolving(f"http://127.0.0.1:{free_port()}") as manager:
        with pytest.raises(SessionUnavailableError, match="unreachable"):
            await manager.resolve_grant(token, PATH)
    async with resolving(issuer.url) as manager:
        for status in (301, 302, 307, 400, 404, 429, 500, 503):
            issuer.respond = lambda status=status: (status, b'{"active": true}')
            with pytest.raises(SessionUnavailableError, match=str(status)):
                await manager.resolve_grant(token, PATH)
    async with resolving(issuer.url, key=generate_signing_key()) as manager:
        issuer.respond = None
        with pytest.raises(SessionUnavailableError, match="may not trust the keys"):
            await manager.resolve_grant(token, PATH)


async def test_an_issuer_that_does_not_respond_is_an_outage(issuer):
    # The system accepts connections to a socket that listens, and nobody reads from them.
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with resolving(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_seconds=0.1) as manager:
            with pytest.raises(SessionTimeoutError, match=r"0\.1 s"):
                await manager.resolve_grant(issuer.give(B, SESSION, "reports"), PATH)


async def test_responses_that_are_not_as_documented_are_errors(issuer):
    token = issuer.give(B, SESSION, "reports")
    (claims,) = issuer.grants.values()
    good = {**claims, "active": True}
    bad: list[Any] = [
        b"", b"{", b"[" * 5000, b"[]", b"null", {}, {"active": "true"}, {"active": 1}, {"active": True},
        *[{**good, name: "other"} for name in ("iss", "aud", "sub", "jti", "exp")], {**good, "username": 5},
        {**good, "exp": None}, {**good, "exp": 1e99}, {**good, "more": "x" * 20_000},
    ]  # fmt: skip
    async with resolving(issuer.url) as manager:
        for content in bad:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            issuer.respond = lambda body=body: (200, body)
            with pytest.raises(ProviderError) as error:
                await manager.resolve_grant(token, PATH)
            assert SESSION not in str(error.value)
        issuer.respond = lambda: (200, json.dumps(good).encode())
        assert await manager.resolve_grant(token, PATH)


@pytest.mark.parametrize(
    "url",
    [
        "", "a.example", "http://a.example/", "ftp://a.example/", "https://", "https://user@a.example/",
        "https://a.example/?q=1", "https://a.example/#x", None, 5,
    ],
)  # fmt: skip
def test_malformed_urls_are_refused(url):
    with pytest.raises(ValueError, match="URL of an issuer"):
        RemoteIssuer(url)


def test_urls_and_limits_are_checked():
    assert RemoteIssuer("https://a.example/federation/").url == "https://a.example/federation"
    assert RemoteIssuer("http://a.example", allow_http=True).url == "http://a.example"
    assert RemoteIssuer("http://localhost:8000").url == "http://localhost:8000"
    for options in ({"timeout_seconds": 0}, {"timeout_seconds": float("nan")}, {"max_connections": 0}):
        with pytest.raises(ValueError, match="positive"):
            RemoteIssuer("https://a.example", **options)


def test_a_remote_issuer_must_be_trusted():
    remote = RemoteIssuer("https://a.example")
    with pytest.raises(ValueError, match="trust"):
        Federation({"k1": KEYS[B]}, remotes={A: remote})
    with pytest.raises(ValueError, match="keys"):
        Federation(trust={A: {"k1": KEYS[A].public_key()}}, remotes={A: remote})
