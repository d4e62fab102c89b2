"""The other side of the protocol, written from docs/federation_protocol.md with PyJWT and the standard library only."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"


def assertion(sandbox_id: str, issuer: str, key: Ed25519PrivateKey, **changes: Any) -> str:
    """Return an assertion with which a sandbox authenticates itself at an issuer. None removes a claim."""
    now = int(time.time())
    correct = {
        "iss": sandbox_id, "sub": sandbox_id, "aud": issuer, "jti": secrets.token_hex(16), "iat": now, "exp": now + 60,
    }  # fmt: skip
    claims = {name: value for name, value in {**correct, **changes}.items() if value is not None}
    return jwt.encode(claims, key, "EdDSA", {"typ": "client-authentication+jwt", "kid": "k1"})


def proof(key: Ed25519PrivateKey, method: str, url: str, token: str | None = None, **changes: Any) -> str:
    """Return a proof of possession for a request."""
    claims = {"htm": method, "htu": url, "iat": int(time.time()), "jti": secrets.token_hex(16), **changes}
    if token is not None and "ath" not in changes:
        claims["ath"] = _encoded(hashlib.sha256(token.encode()).digest())
    return jwt.encode(claims, key, "EdDSA", {"typ": "dpop+jwt", "jwk": jwk(key)})


def jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    """Return the public part of a key as a JSON Web Key."""
    return {"kty": "OKP", "crv": "Ed25519", "x": _encoded(key.public_key().public_bytes_raw())}


def thumbprint(key: Ed25519PrivateKey) -> str:
    """Return the thumbprint of a key (RFC 7638)."""
    text = json.dumps(jwk(key), sort_keys=True, separators=(",", ":"))
    return _encoded(hashlib.sha256(text.encode()).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Client:
    """A sandbox that introspects and exchanges its grants at an issuer."""

    def __init__(self, url: str, sandbox_id: str, issuer: str, key: Ed25519PrivateKey) -> None:
        self.url, self.sandbox_id, self.issuer, self.key = url, sandbox_id, issuer, key

    def introspect(self, token: str) -> dict[str, Any]:
        status, found = self.post("/introspect", {"token": token})
        assert status == 200, found
        return found

    def exchange(self, token: str, dpop: str | None = None, **more: str) -> tuple[int, dict[str, Any]]:
        form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": JWT, **more}
        return self.post("/token", form, {"DPoP": dpop} if dpop else {})

    def post(
        self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        own = {
            "client_assertion_type": ASSERTION,
            "client_assertion": assertion(self.sandbox_id, self.issuer, self.key),
        }
        body = urllib.parse.urlencode({**own, **form}).encode()
        return fetch(urllib.request.Request(f"{self.url}{path}", body, dict(headers or {})))

    def public_keys(self) -> dict[str, Any]:
        """Return the keys that the issuer publishes, by id."""
        _, found = fetch(f"{self.url}/jwks.json")
        return {key.key_id: key.key for key in jwt.PyJWKSet.from_dict(found).keys if key.key_id is not None}


def fetch(request: str | urllib.request.Request) -> tuple[int, dict[str, Any]]:
    """Return status and content of a response."""
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def verified_grant(token: str, issuer: str, audience: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of a grant. Raises an error of PyJWT, KeyError, or ValueError for any other token."""
    header = jwt.get_unverified_header(token)
    if header.get("typ") != "grid-grant+jwt":
        raise ValueError("not a grant")
    required = ["iss", "aud", "sub", "jti", "iat", "exp"]
    return jwt.decode(
        token, keys[header["kid"]], ["EdDSA"], audience=audience, issuer=issuer, options={"require": required}
    )


class Issuer:
    """A sandbox that gives grants, keeps them in a dict, and answers introspections.

    Attributes:
        url: where it answers.
        grants: the claims of the grants that count, by id.
        closes: whether connections are closed after a response.
        respond: returns status and body of a response, instead of the correct one.

    """

    def __init__(self, sandbox_id: str, key: Ed25519PrivateKey, clients: Mapping[str, Any]) -> None:
        self.sandbox_id, self.key, self.clients = sandbox_id, key, clients
        self.url = ""
        self.grants: dict[str, dict[str, Any]] = {}
        self.respond: Callable[[], tuple[int, bytes]] | None = None
        self.used: set[str] = set()
        self.connections: set[Any] = set()
        self.closes = False

    def give(self, audience: str, session: str, path: str, actions: str = "read", **more: Any) -> str:
        """Return the token of a new grant."""
        now = int(time.time())
        claims = {
            "iss": self.sandbox_id, "aud": audience, "sub": session, "path": path, "scope": actions,
            "jti": session + secrets.token_urlsafe(12), "iat": now, "exp": now + 300, **more,
        }  # fmt: skip
        self.grants[claims["jti"]] = claims
        return jwt.encode(claims, self.key, "EdDSA", {"typ": "grid-grant+jwt", "kid": "k1"})

    def introspect(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Return status and content of the response to an introspection."""
        client = self._authenticated(form)
        if client is None:
            return 401, {"error": "invalid_client"}
        try:
            claims = verified_grant(form["token"], self.sandbox_id, client, {"k1": self.key.public_key()})
        except (jwt.PyJWTError, KeyError, ValueError):
            return 200, {"active": False}
        found = self.grants.get(claims["jti"])
        return 200, {"active": False} if found is None else {"active": True, "username": "alice", **found}

    def _authenticated(self, form: Mapping[str, str]) -> str | None:
        text = form.get("client_assertion", "")
        try:
            header, unverified = jwt.get_unverified_header(text), jwt.decode(text, options={"verify_signature": False})
            key = self.clients[unverified["iss"]][header["kid"]]
            required = ["iss", "sub", "jti", "iat", "exp"]
            claims = jwt.decode(text, key, ["EdDSA"], audience=self.sandbox_id, options={"require": required})
        except (jwt.PyJWTError, KeyError):
            return None
        is_new = claims["jti"] not in self.used
        self.used.add(claims["jti"])
        is_typed = header.get("typ") == "client-authentication+jwt"
        return str(claims["sub"]) if is_new and is_typed and claims["sub"] == claims["iss"] else None

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve introspections at `url`."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                issuer.connections.add(self.client_address)
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, content = issuer.introspect(dict(urllib.parse.parse_qsl(body)))
                text = json.dumps(content).encode()
                if issuer.respond is not None:
                    status, text = issuer.respond()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()
                self.wfile.write(text)
                # The client is not told, so it may send another request on this connection.
                self.close_connection = issuer.closes

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            self.url = f"http://127.0.0.1:{server.server_port}"
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()
