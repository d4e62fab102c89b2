"""poll_app: an ASGI application from which receivers fetch Security Event Tokens (RFC 8936), and the keys."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from dataclasses import dataclass
from typing import Any, Final

from ...asgi_messages import (
    ASGIApp,
    BodyTooLargeError,
    DisconnectedError,
    Receive,
    Scope,
    Send,
    read_body,
    serve_lifespan,
)
from ...core.durations import ms_from_seconds
from ...exceptions import SessionError
from ..webhooks.endpoint import Endpoint
from ..webhooks.endpoint_store import Message
from .streams import POLL, SecurityEventStreams, token_hash

logger = logging.getLogger("chuk_sessions.events")

_MAX_BODY: Final = 1_048_576
_MOST_EVENTS: Final = 500
_POLL_SECONDS: Final = 0.2
_PUBLIC: Final = b"public, max-age=300"
"""Keys and metadata may be cached, and a new key is known everywhere five minutes after it was published."""


class _RefusedError(Exception):
    """A request that gets an error as its response.

    Attributes:
        status: the status of the response.
        code: the name of the error in RFC 8936.

    """

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class _Poll:
    """A poll, as sent by the receiver."""

    most: int
    waits: bool
    acknowledged: tuple[str, ...]
    errors: dict[str, Any]


def poll_app(
    streams: SecurityEventStreams, *, base_url: str, lease_seconds: float = 60, wait_seconds: float = 25
) -> ASGIApp:
    """Return an ASGI application to serve under `base_url`.

    - `POST /streams/ID` is a poll of a stream, with the stream's bearer token.
    - `GET /jwks.json` returns the public keys.
    - `GET /.well-known/ssf-configuration` returns the metadata of this transmitter.

    A token that was not acknowledged within `lease_seconds` is delivered again. A poll that does not ask for an
    immediate response waits for an event, at most `wait_seconds`.

    Raises ValueError for times that are not positive and finite.
    """
    lease_ms = ms_from_seconds(lease_seconds, "lease_seconds")
    wait_ms = ms_from_seconds(wait_seconds, "wait_seconds")
    app = _PollApp(streams, base_url.rstrip("/"), lease_ms, wait_ms / 1000)
    return app.serve


class _PollApp:
    def __init__(self, streams: SecurityEventStreams, base_url: str, lease_ms: int, wait_seconds: float) -> None:
        self._streams = streams
        self._base_url = base_url
        self._lease_ms = lease_ms
        self._wait_seconds = wait_seconds

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and the messages about the server's lifespan."""
        if scope["type"] == "lifespan":
            await serve_lifespan(receive, send)
            return
        try:
            status, content = 200, await self._respond(scope, receive)
        except _RefusedError as refused:
            status, content = refused.status, {"err": refused.code, "description": str(refused)}
        except SessionError:
            logger.exception("a poll failed, because the store did")
            status, content = 503, {"err": "unavailable", "description": "try again later"}
        is_public = scope["method"] == "GET" and status == 200
        headers = [(b"content-type", b"application/json"), (b"cache-control", _PUBLIC if is_public else b"no-store")]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})

    async def _respond(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] == "GET" and path == "/jwks.json":
            return self._streams.jwks()
        if scope["method"] == "GET" and path == "/.well-known/ssf-configuration":
            return self._metadata()
        head, _, stream_id = path.rpartition("/")
        if scope["method"] != "POST" or head != "/streams":
            raise _RefusedError(404, "invalid_request", "there is nothing here")
        endpoint = await self._authorized(stream_id, scope)
        return await self._poll(endpoint, _parse(await _body(receive)))

    def _metadata(self) -> dict[str, Any]:
        return {
            "spec_version": "1_0",
            "issuer": self._streams.issuer,
            "jwks_uri": f"{self._base_url}/jwks.json",
            "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
            "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6750"}],
        }

    async def _authorized(self, stream_id: str, scope: Scope) -> Endpoint:
        """Return the stream. A wrong token and a stream that does not exist get the same response."""
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode("latin-1")
        scheme, _, token = given.partition(" ")
        endpoint = (await self._streams.store.load()).get(stream_id)
        expected = endpoint.settings["token_hash"] if endpoint is not None and endpoint.format == POLL else "-"
        if not hmac.compare_digest(expected, token_hash(token)) or scheme.lower() != "bearer" or endpoint is None:
            raise _RefusedError(401, "authentication_failed", "the token is not that of the stream")
        return endpoint

    async def _poll(self, endpoint: Endpoint, poll: _Poll) -> dict[str, Any]:
        for token_id, error in poll.errors.items():
            logger.error("the receiver of stream %s refused the token %.50r: %.200r", endpoint.id, token_id, error)
        for token_id in (*poll.acknowledged, *poll.errors):
            await self._streams.store.delivered(endpoint, Message(token_id, {}), 0)
        if poll.most == 0 or not endpoint.enabled:
            return {"sets": {}}
        deadline = asyncio.get_running_loop().time() + (self._wait_seconds if poll.waits else 0)
        while True:
            batch = await self._streams.store.take(endpoint, poll.most, self._lease_ms)
            if batch.messages or asyncio.get_running_loop().time() >= deadline:
                sets = {message.id: self._streams.sign(message) for message in batch.messages}
                return {"sets": sets, "moreAvailable": 0 < batch.next_due <= batch.now}
            await asyncio.sleep(_POLL_SECONDS)


def _parse(body: bytes) -> _Poll:
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _RefusedError(400, "invalid_request", "the body must be a JSON object")
    most, at_once = found.get("maxEvents", _MOST_EVENTS), found.get("returnImmediately", False)
    acknowledged, errors = found.get("ack", []), found.get("setErrs", {})
    if (
        not isinstance(most, int) or isinstance(most, bool) or most < 0 or not isinstance(at_once, bool)
        or not isinstance(acknowledged, list) or not isinstance(errors, dict)
        or not all(map(_is_text, (*acknowledged, *errors)))
    ):  # fmt: skip
        raise _RefusedError(400, "invalid_request", "maxEvents, returnImmediately, ack, or setErrs is malformed")
    return _Poll(min(most, _MOST_EVENTS), not at_once, tuple(acknowledged), errors)


def _is_text(token_id: object) -> bool:
    """Return whether this may be the id of a token. JSON can contain lone surrogates, which UTF-8 cannot encode."""
    return isinstance(token_id, str) and token_id.encode(errors="ignore").decode() == token_id != ""


async def _body(receive: Receive) -> bytes:
    try:
        return await read_body(receive, _MAX_BODY)
    except DisconnectedError:
        raise _RefusedError(400, "invalid_request", "the request was not completed") from None
    except BodyTooLargeError:
        raise _RefusedError(413, "invalid_request", "the request is too large") from None
