"""FederationApp: the endpoints at which other sandboxes exchange and introspect the grants of this one."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, unquote

from .. import ProviderError, SessionManager
from ..asgi_messages import Receive, Scope, Send, serve_lifespan
from ..models import ResolvedGrant
from . import assertions, paths, proofs
from .federation import Federation
from .forms import RefusedError, headers_of, read_form, required
from .keys import SigningKeys
from .replays import Replays
from .tokens import Grant, mint, signed_grant

logger = logging.getLogger(__package__)

EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"
_PUBLIC: Final = b"public, max-age=300"
_METHODS: Final = {"/token": "POST", "/introspect": "POST", "/jwks.json": "GET"}


class FederationApp:
    """An ASGI application with the endpoints of an issuer, to serve under `base_url` with TLS.

    - `POST /introspect` (RFC 7662) tells the audience of a grant whether the grant counts at this moment.
    - `POST /token` (RFC 8693) exchanges a grant for an access token: for this sandbox as its audience, short-lived, and
      if the client wishes, for a narrower path and fewer actions. It ends with the grant.
    - `GET /jwks.json` returns the public keys of this sandbox.

    Clients authenticate with assertions that they sign with the keys that this sandbox has pinned (RFC 7523). Nothing
    in a request leads to a request of this application.
    """

    def __init__(
        self,
        manager: SessionManager,
        *,
        base_url: str,
        access_seconds: int = 60,
        share_user_ids: bool = True,
    ) -> None:
        """Create the application.

        Args:
            manager: the manager of the sandbox whose grants are served. It needs a federation with keys.
            base_url: the URL under which clients reach the application. Proofs of possession name it.
            access_seconds: lifetime of an access token; it never outlives the grant.
            share_user_ids: whether introspection tells who the session belongs to.

        Raises:
            ValueError: the manager has no federation with keys, or a time is not positive.

        """
        self._manager = manager
        self._federation: Federation = manager.federation
        if self._federation.keys is None:
            raise ValueError("an issuer needs a federation with keys")
        self._keys: SigningKeys = self._federation.keys
        self._own_trust = {manager.sandbox_id: self._keys.public}
        if access_seconds < 1:
            raise ValueError("access_seconds must be at least 1")
        self._base_url = base_url.rstrip("/")
        self._access_seconds = access_seconds
        self._share_user_ids = share_user_ids
        self._replays: Replays = manager._grants.replays

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and the messages about the server's lifespan."""
        if scope["type"] == "lifespan":
            await serve_lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError("the endpoints of a federation only serve HTTP requests")
        headers: dict[bytes, bytes] = {}
        try:
            status, content = 200, await self._respond(scope, receive)
        except RefusedError as refused:
            status, content = refused.status, {"error": refused.code, "error_description": str(refused)}
        except ProviderError as error:
            logger.warning("a request for a grant failed, because the store did: %s", type(error).__name__)
            status, content = 503, {"error": "temporarily_unavailable", "error_description": "try again later"}
            headers[b"retry-after"] = b"1"
        if status == 405:
            headers[b"allow"] = _METHODS[_path(scope)].encode()
        headers[b"cache-control"] = _PUBLIC if scope["method"] == "GET" and status == 200 else b"no-store"
        await _send_json(send, status, content, headers)

    async def _respond(self, scope: Scope, receive: Receive) -> Mapping[str, Any]:
        path = _path(scope)
        if path not in _METHODS:
            raise RefusedError("invalid_request", "there is nothing here", 404)
        if scope["method"] != _METHODS[path]:
            raise RefusedError("invalid_request", "the method is wrong", 405)
        if path == "/jwks.json":
            return self._keys.jwks()
        form = await read_form(scope, receive)
        client = await self._authenticate(form)
        if path == "/introspect":
            return await self._introspect(form, client)
        return await self._exchange(form, client, scope)

    async def _authenticate(self, form: Mapping[str, str]) -> str:
        """Return the sandbox that has sent the form. All failures get the same response."""
        now = time.time()
        text = form.get("client_assertion") if form.get("client_assertion_type") == assertions.METHOD else None
        client = assertions.authenticate(text, issuer=self._manager.sandbox_id, trust=self._federation.trust, now=now)
        if (
            client is None
            or form.get("client_id", client.sandbox_id) != client.sandbox_id
            or not await self._replays.is_first(
                # The clock of another host may be behind, so that it would accept the assertion for longer.
                f"assertion {client.sandbox_id} {client.assertion_id}",
                client.expires_at - now + assertions.CLOCK_SKEW_SECONDS,
            )
        ):
            logger.info("a request without a valid client assertion was refused")
            raise RefusedError("invalid_client", "the client assertion is not valid", 401)
        return client.sandbox_id

    async def _introspect(self, form: Mapping[str, str], client: str) -> Mapping[str, Any]:
        found = self._own(required(form, "token"), client)
        resolved = None if found is None else await self._manager.check_grant(found)
        if found is None or resolved is None:
            return {"active": False}
        return _introspected(found, resolved, self._share_user_ids)

    async def _exchange(self, form: Mapping[str, str], client: str, scope: Scope) -> Mapping[str, Any]:
        self._check_exchange(form)
        grant = self._own(required(form, "subject_token"), client)
        now = int(time.time())
        if grant is None or grant.expires_at <= now or await self._manager.check_grant(grant) is None:
            raise RefusedError("invalid_request", "the subject token is not valid")
        path, actions = _narrowed_path(form.get("resource"), grant), _narrowed_actions(form.get("scope"), grant)
        access = replace(
            grant, audience=self._manager.sandbox_id, path=path, actions=actions, issued_at=now,
            expires_at=min(grant.expires_at, now + self._access_seconds), jkt=await self._proven(grant, scope),
            client_id=client,
        )  # fmt: skip
        return {
            "access_token": mint(access, self._keys.signing_key, self._keys.signing),
            "issued_token_type": JWT,
            "token_type": "Bearer" if access.jkt is None else "DPoP",
            "expires_in": access.expires_at - now,
            "scope": " ".join(actions),
        }

    def _own(self, token: str, client: str) -> Grant | None:
        """Return a grant that this sandbox has given to the client, or None for any other token."""
        return signed_grant(token, audience=client, trust=self._own_trust)

    def _check_exchange(self, form: Mapping[str, str]) -> None:
        if required(form, "grant_type") != EXCHANGE:
            raise RefusedError("unsupported_grant_type", "only token exchange is supported")
        if required(form, "subject_token_type") != JWT:
            raise RefusedError("invalid_request", f"subject_token_type must be {JWT}")
        if form.get("requested_token_type", JWT) not in (JWT, ACCESS_TOKEN):
            raise RefusedError("invalid_request", f"requested_token_type must be {JWT}")
        if "actor_token" in form:
            raise RefusedError("invalid_request", "grants cannot be delegated")
        if form.get("audience", self._manager.sandbox_id) != self._manager.sandbox_id:
            raise RefusedError("invalid_target", "the audience must be the issuer of the grant")

    async def _proven(self, grant: Grant, scope: Scope) -> str | None:
        """Return the thumbprint of the key to which the access token is bound, or None for a token without one."""
        given = headers_of(scope, b"dpop")
        if not given and grant.jkt is None:
            return None
        found = None
        if len(given) == 1:
            proof = proofs.Proof(given[0], "POST", f"{self._base_url}/token")
            found = await proofs.prover(proof, None, self._replays, thumbprint=grant.jkt)
        if found is None:
            raise RefusedError("invalid_dpop_proof", "the proof of possession is missing or not valid")
        return found


def resource(issuer: str, session_hash: str, path: str) -> str:
    """Return the URI of a path of a session, for the parameter `resource` of a token exchange."""
    return f"grid://{quote(issuer, safe='')}/{session_hash}/{quote(path)}"


def _narrowed_path(uri: str | None, grant: Grant) -> str:
    if uri is None:
        return grant.path
    prefix = resource(grant.issuer, grant.session_hash, "")
    path = unquote(uri.removeprefix(prefix), errors="surrogateescape").removesuffix("/")
    if not uri.startswith(prefix) or not paths.covers(grant.path, path):
        raise RefusedError("invalid_target", "the grant does not cover the resource")
    return path


def _narrowed_actions(scope: str | None, grant: Grant) -> tuple[str, ...]:
    actions = grant.actions if scope is None else tuple(dict.fromkeys(scope.split(" ")))
    if not set(actions) <= set(grant.actions):
        raise RefusedError("invalid_scope", "the grant does not allow the actions")
    return actions


def _introspected(grant: Grant, resolved: ResolvedGrant, share_user_id: bool) -> dict[str, Any]:
    found = {
        "active": True, "iss": grant.issuer, "aud": grant.audience, "sub": grant.session_hash, "path": grant.path,
        "scope": " ".join(grant.actions), "jti": grant.jti, "iat": grant.issued_at,
        "exp": int(datetime.fromisoformat(resolved.expires_at).timestamp()),
        "token_type": "Bearer" if grant.jkt is None else "DPoP",
    }  # fmt: skip
    if grant.jkt is not None:
        found["cnf"] = {"jkt": grant.jkt}
    if share_user_id and resolved.user_id is not None:
        found["username"] = resolved.user_id
    return found


def _path(scope: Scope) -> str:
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


async def _send_json(send: Send, status: int, content: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> None:
    body = json.dumps(content).encode()
    lines = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-content-type-options", b"nosniff"),
        *headers.items(),
    ]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
