"""The endpoints of an issuer: only its clients get answers, and malformed requests get errors as in RFC 6749."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from chuk_sessions import SessionManager, SessionUnavailableError, session_hash
from chuk_sessions.federation import Federation, FederationApp, RecentIds, generate_signing_key
from tests.federation.other_side import (
    ASSERTION,
    EXCHANGE,
    JWT,
    assertion,
    proof,
    thumbprint,
)

A, B, C = "sandbox-a", "sandbox-b", "sandbox-c"
URL = "https://a.example/federation"
KEYS = {name: generate_signing_key() for name in (A, B, C)}
TRUST = {name: {"k1": KEYS[name].public_key()} for name in (B, C)}


@dataclass
class Issuer:
    """An issuer with one session and a grant for its reports."""

    manager: SessionManager
    app: FederationApp
    session_id: str = ""
    token: str = ""
    headers: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        return session_hash(self.session_id)

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: list[tuple[bytes, bytes]] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Send a request, its body in two parts, and return status and content of the response."""
        half = len(body) // 2
        parts = [
            {"type": "http.request", "body": body[:half], "more_body": True},
            {"type": "http.request", "body": body[half:]},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return parts.pop(0) if parts else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": f"/federation{path}", "root_path": "/federation"}
        await self.app({**scope, "headers": headers or []}, receive, send)
        start, content = sent
        self.headers = dict(start["headers"])
        assert self.headers[b"content-type"] == b"application/json"
        return start["status"], json.loads(content["body"])

    async def post(
        self, path: str, form: dict[str, Any], client: str = B, headers: Any = (), **own: Any
    ) -> tuple[int, dict[str, Any]]:
        """Send a form with an assertion of the client. None in `own` removes a field."""
        fields = {
            "client_assertion_type": ASSERTION, "client_assertion": assertion(client, A, KEYS[client]), **form, **own,
        }  # fmt: skip
        body = urlencode({name: value for name, value in fields.items() if value is not None}).encode()
        return await self.request(
            "POST", path, body, [(b"content-type", b"application/x-www-form-urlencoded"), *headers]
        )

    async def introspect(self, token: str, **more: Any) -> tuple[int, dict[str, Any]]:
        return await self.post("/introspect", {"token": token}, **more)

    async def exchange(self, token: str, headers: Any = (), client: str = B, **form: Any) -> tuple[int, dict[str, Any]]:
        fields = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": JWT}
        return await self.post("/token", {**fields, **form}, client, headers)


@asynccontextmanager
async def issuing(world: Any, **options: Any) -> AsyncIterator[Issuer]:
    async with world.manager(sandbox_id=A, federation=Federation({"k1": KEYS[A]}, TRUST)) as manager:
        issuer = Issuer(manager, FederationApp(manager, base_url=URL, **options))
        issuer.session_id = await manager.allocate_session(user_id="alice")
        issuer.token = await manager.grant_session(issuer.session_id, to=B, path="reports", actions=("read", "list"))
        yield issuer


async def test_introspection_tells_the_audience_what_the_grant_is(single):
    async with issuing(single) as issuer:
        status, found = await issuer.introspect(issuer.token)
        claims = jwt.decode(issuer.token, options={"verify_signature": False})
        assert (status, found) == (200, {"active": True, "token_type": "Bearer", "username": "alice", **claims})
        assert issuer.headers[b"cache-control"] == b"no-store"
        await issuer.manager.delete_session(issuer.session_id)
        assert await issuer.introspect(issuer.token) == (200, {"active": False})


async def test_introspection_tells_nobody_else(world):
    async with issuing(world) as issuer:
        assert await issuer.introspect(issuer.token, client=C) == (200, {"active": False})
        for token in ("x", "é", "\x00", issuer.token[:-1], issuer.token + "A", jwt.encode({}, KEYS[B], "EdDSA")):
            assert await issuer.introspect(token) == (200, {"active": False})
        own = assertion(B, A, KEYS[B])
        assert await issuer.introspect(own) == (200, {"active": False})


async def test_user_ids_can_be_kept_private(world):
    async with issuing(world, share_user_ids=False) as issuer:
        assert "username" not in (await issuer.introspect(issuer.token))[1]


async def test_the_session_limits_the_expiry_that_introspection_tells(world):
    async with issuing(world) as issuer:
        await issuer.manager.set_session_ttl(issuer.session_id, 60 / 3600)
        _, found = await issuer.introspect(issuer.token)
        claims = jwt.decode(issuer.token, options={"verify_signature": False})
        assert found["exp"] <= claims["iat"] + 60 < claims["exp"]


async def test_an_assertion_counts_once_even_for_a_host_whose_clock_is_behind(world):
    async with issuing(world) as issuer:
        own = assertion(B, A, KEYS[B], exp=int(time.time()) + 30)
        assert (await issuer.introspect(issuer.token, client_assertion=own))[0] == 200
        await world.advance(seconds=60)
        assert (await issuer.introspect(issuer.token, client_assertion=own))[0] == 401


BAD_ASSERTIONS: dict[str, Any] = {
    "missing": lambda: None,
    "empty": lambda: "",
    "no token": lambda: "x",
    "of a stranger": lambda: assertion("sandbox-x", A, KEYS[B]),
    "with another sandbox's key": lambda: assertion(B, A, KEYS[C]),
    "for another issuer": lambda: assertion(B, C, KEYS[B]),
    "for the endpoint": lambda: assertion(B, A, KEYS[B], aud=[A]),
    "for nobody": lambda: assertion(B, A, KEYS[B], aud=None),
    "with another subject": lambda: assertion(B, A, KEYS[B], sub=C),
    "expired": lambda: assertion(B, A, KEYS[B], exp=int(time.time())),
    "that never expires": lambda: assertion(B, A, KEYS[B], exp=None),
    "that expires late": lambda: assertion(B, A, KEYS[B], exp=int(time.time()) + 3600),
    "of the future": lambda: assertion(B, A, KEYS[B], iat=int(time.time()) + 200, exp=int(time.time()) + 250),
    "not yet valid": lambda: assertion(B, A, KEYS[B], nbf=int(time.time()) + 200),
    "without an id": lambda: assertion(B, A, KEYS[B], jti=None),
    "without a time": lambda: assertion(B, A, KEYS[B], iat=None),
    "of another type": lambda: jwt.encode(
        jwt.decode(assertion(B, A, KEYS[B]), options={"verify_signature": False}), KEYS[B], "EdDSA", {"kid": "k1"}
    ),
    "that is a grant": lambda: jwt.encode(
        jwt.decode(assertion(B, A, KEYS[B]), options={"verify_signature": False}),
        KEYS[B], "EdDSA", {"kid": "k1", "typ": "grid-grant+jwt"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ASSERTIONS)
async def test_a_client_without_a_correct_assertion_is_refused(world, name):
    async with issuing(world) as issuer:
        for path in ("/introspect", "/token"):
            status, found = await issuer.post(path, {"token": issuer.token}, client_assertion=BAD_ASSERTIONS[name]())
            assert (status, found["error"]) == (401, "invalid_client")
        assert (await issuer.introspect(issuer.token))[1]["active"]


async def test_other_ways_to_authenticate_are_refused(world):
    async with issuing(world) as issuer:
        for form in ({"client_assertion_type": None}, {"client_assertion_type": "x"}, {"client_id": C}):
            assert (await issuer.introspect(issuer.token, **form))[0] == 401
        basic = [(b"authorization", b"Basic c2FuZGJveC1iOng=")]
        assert (await issuer.introspect(issuer.token, headers=basic, client_assertion=None))[0] == 401
        assert (await issuer.introspect(issuer.token, client_id=B))[1]["active"]


async def test_an_assertion_is_used_once_by_all_processes(single):
    async with issuing(single) as issuer, issuing(single) as other:
        text = assertion(B, A, KEYS[B])
        assert (await issuer.introspect(issuer.token, client_assertion=text))[0] == 200
        for again in (issuer, other):
            assert (await again.introspect(issuer.token, client_assertion=text))[0] == 401


async def test_a_grant_is_exchanged_for_an_access_token_that_is_narrower(single):
    async with issuing(single) as issuer:
        resource = f"grid://{A}/{issuer.reference}/reports/q%201"
        status, found = await issuer.exchange(issuer.token, resource=resource, scope="read", audience=A)
        assert status == 200
        token = found.pop("access_token")
        assert found.pop("expires_in") in (59, 60)
        assert found == {"issued_token_type": JWT, "token_type": "Bearer", "scope": "read"}
        assert issuer.headers[b"cache-control"] == b"no-store"
        claims = jwt.decode(token, KEYS[A].public_key(), ["EdDSA"], audience=A, issuer=A)
        assert (claims["path"], claims["scope"], claims["client_id"]) == ("reports/q 1", "read", B)
        resolved = await issuer.manager.resolve_grant(token, "reports/q 1/page", "read")
        assert (resolved.user_id, resolved.path) == ("alice", "reports/q 1")
        assert await issuer.manager.resolve_grant(token, "reports/q 10", "read") is None
        assert await issuer.manager.resolve_grant(token, "reports/q 1", "list") is None
        assert await issuer.manager.resolve_grant(issuer.token, "reports/q 1", "read") is None
        await issuer.manager.revoke_grants(issuer.session_id)
        assert await issuer.manager.resolve_grant(token, "reports/q 1", "read") is None


async def test_an_access_token_does_not_outlive_its_grant(world):
    async with issuing(world, access_seconds=1000) as issuer:
        _, found = await issuer.exchange(issuer.token)
        assert 290 < found["expires_in"] <= 300
        assert found["scope"] == "read list"


async def test_grants_and_access_tokens_cannot_be_passed_on(world):
    async with issuing(world) as issuer:
        assert (await issuer.exchange(issuer.token, client=C))[1]["error"] == "invalid_request"
        _, found = await issuer.exchange(issuer.token)
        for client in (B, C):
            assert (await issuer.exchange(found["access_token"], client=client))[0] == 400


BAD_EXCHANGES: list[tuple[dict[str, Any], str]] = [
    ({"grant_type": None}, "invalid_request"),
    ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
    ({"subject_token": None}, "invalid_request"),
    ({"subject_token": ""}, "invalid_request"),
    ({"subject_token": "x"}, "invalid_request"),
    ({"subject_token_type": None}, "invalid_request"),
    ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
    ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
    ({"actor_token": "x", "actor_token_type": JWT}, "invalid_request"),
    ({"audience": B}, "invalid_target"),
    ({"audience": C}, "invalid_target"),
    ({"resource": "reports"}, "invalid_target"),
    ({"resource": "https://a.example/"}, "invalid_target"),
    ({"resource": "http://169.254.169.254/latest/meta-data"}, "invalid_target"),
    ({"resource": "grid://sandbox-a/REFERENCE/reports2"}, "invalid_target"),
    ({"resource": "grid://sandbox-a/REFERENCE/"}, "invalid_target"),
    ({"resource": "grid://sandbox-a/REFERENCE/reports/../x"}, "invalid_target"),
    ({"resource": "grid://sandbox-a/REFERENCE/reports/%2e%2e/x"}, "invalid_target"),
    ({"resource": "grid://sandbox-a/REFERENCE/reports/%252e%252e/x"}, "invalid_target"),
    ({"resource": "grid://sandbox-a/REFERENCE/reports//x"}, "invalid_target"),
    ({"resource": "grid://sandbox-a/REFERENCE/reports/%FF"}, "invalid_target"),
    ({"resource": "grid://sandbox-b/REFERENCE/reports"}, "invalid_target"),
    ({"resource": f"grid://sandbox-a/{session_hash('x')}/reports"}, "invalid_target"),
    ({"scope": "write"}, "invalid_scope"),
    ({"scope": "read write"}, "invalid_scope"),
    ({"scope": ""}, "invalid_scope"),
    ({"scope": "read  list"}, "invalid_scope"),
]


async def test_malformed_exchanges_are_refused(world):
    async with issuing(world) as issuer:
        for form, code in BAD_EXCHANGES:
            filled = {name: value and value.replace("REFERENCE", issuer.reference) for name, value in form.items()}
            status, found = await issuer.exchange(issuer.token, **filled)
            assert (status, found["error"]) == (400, code), form
            assert issuer.reference not in found["error_description"]
            assert issuer.headers[b"cache-control"] == b"no-store"


FORM = b"application/x-www-form-urlencoded"


async def test_malformed_requests_are_refused(world):
    async with issuing(world) as issuer:
        for kind in (b"application/json", b"multipart/form-data", b"", b"text/plain, " + FORM):
            assert (await issuer.request("POST", "/token", b"{}", [(b"content-type", kind)]))[0] == 400
        assert (await issuer.request("POST", "/token", b"a=b"))[0] == 400
        assert (await issuer.request("POST", "/token", b"a=b", 2 * [(b"content-type", FORM)]))[0] == 400
        for body in (b"a", b"a=b&a=b", b"a=\xff", b"a=%FF", b"&".join(b"a%d=b" % n for n in range(30))):
            status, found = await issuer.request("POST", "/introspect", body, [(b"content-type", FORM)])
            assert (status, found["error"]) == (400, "invalid_request"), body
        large = b"token=" + b"x" * 20_000
        assert (await issuer.request("POST", "/introspect", large, [(b"content-type", FORM)]))[0] == 413
        for method, path, status in [
            ("GET", "/token", 405), ("PUT", "/introspect", 405), ("POST", "/jwks.json", 405), ("GET", "/", 404),
            ("GET", "/other", 404), ("GET", "/jwks.json/", 404), ("POST", "/token/../token", 404),
        ]:  # fmt: skip
            assert (await issuer.request(method, path))[0] == status
            assert (b"allow" in issuer.headers) == (status == 405)


async def test_keys_are_public(world):
    async with issuing(world) as issuer:
        status, found = await issuer.request("GET", "/jwks.json")
        assert status == 200
        assert [key["kid"] for key in found["keys"]] == ["k1"]
        assert "d" not in found["keys"][0]
        assert issuer.headers[b"cache-control"] == b"public, max-age=300"


async def test_access_tokens_are_bound_to_the_key_of_a_proof(world):
    key, url = generate_signing_key(), f"{URL}/token"
    async with issuing(world) as issuer:

        async def exchange(*proofs: str) -> Any:
            return await issuer.exchange(issuer.token, [(b"dpop", text.encode()) for text in proofs])

        status, found = await exchange(proof(key, "POST", url))
        assert (status, found["token_type"]) == (200, "DPoP")
        claims = jwt.decode(found["access_token"], options={"verify_signature": False})
        assert claims["cnf"] == {"jkt": thumbprint(key)}
        used = proof(key, "POST", url)
        assert (await exchange(used))[0] == 200
        bad = [
            [used], ["x"], [proof(key, "POST", url), proof(key, "POST", url)], [proof(key, "GET", url)],
            [proof(key, "POST", "https://b.example/token")], [proof(key, "POST", url, "token")],
            [proof(key, "POST", url, iat=int(time.time()) - 120)],
            [proof(key, "POST", url, iat=int(time.time()) + 120)],
        ]  # fmt: skip
        for texts in bad:
            status, found = await exchange(*texts)
            assert (status, found["error"]) == (400, "invalid_dpop_proof")


async def test_a_bound_grant_is_exchanged_with_its_own_key_only(world):
    key, url = generate_signing_key(), f"{URL}/token"
    async with issuing(world) as issuer:
        token = await issuer.manager.grant_session(issuer.session_id, to=B, jkt=thumbprint(key))
        for texts in ([], [proof(generate_signing_key(), "POST", url)]):
            status, found = await issuer.exchange(token, [(b"dpop", text.encode()) for text in texts])
            assert (status, found["error"]) == (400, "invalid_dpop_proof")
        assert (await issuer.exchange(token, [(b"dpop", proof(key, "POST", url).encode())]))[0] == 200
        assert (await issuer.introspect(token))[1]["cnf"] == {"jkt": thumbprint(key)}


async def test_a_failure_of_the_store_is_no_refusal(world, caplog):
    async with issuing(world) as issuer:

        async def fail(_: object) -> None:
            raise SessionUnavailableError(f"no reply about {issuer.session_id}")

        issuer.manager.check_grant = fail
        for send in (issuer.introspect, issuer.exchange):
            status, found = await send(issuer.token)
            assert (status, found["error"]) == (503, "temporarily_unavailable")
            assert issuer.headers[b"retry-after"] == b"1"
        assert issuer.session_id not in caplog.text
        assert "SessionUnavailableError" in caplog.text


async def test_logs_have_neither_ids_nor_tokens(world, caplog):
    caplog.set_level("DEBUG")
    async with issuing(world) as issuer:
        await issuer.introspect(issuer.token, client=C)
        await issuer.introspect(issuer.token, client_assertion="x")
        await issuer.exchange(issuer.token, resource="x")
        for secret in (issuer.token, issuer.reference, issuer.session_id):
            assert secret not in caplog.text


async def test_an_issuer_needs_keys(world):
    async with world.manager(sandbox_id=A) as manager:
        with pytest.raises(ValueError, match="federation"):
            FederationApp(manager, base_url=URL)
    async with world.manager(sandbox_id=A, federation=Federation(trust=TRUST)) as manager:
        with pytest.raises(ValueError, match="keys"):
            FederationApp(manager, base_url=URL)
    async with issuing(world) as issuer:
        with pytest.raises(ValueError, match="access_seconds"):
            FederationApp(issuer.manager, base_url=URL, access_seconds=0)


async def test_only_http_is_served(world):
    async with issuing(world) as issuer:
        with pytest.raises(ValueError, match="HTTP"):
            await issuer.app({"type": "websocket"}, None, None)


async def test_a_full_memory_of_ids_refuses_further_ones_until_some_are_forgotten():
    ids = RecentIds(max_remembered=2)
    assert [await ids.is_first(name, 60) for name in ("one", "two", "three", "one")] == [True, True, False, False]
    ids = RecentIds(max_remembered=2)
    assert [await ids.is_first(name, 0) for name in ("one", "one", "two", "three")] == [True, True, True, True]
