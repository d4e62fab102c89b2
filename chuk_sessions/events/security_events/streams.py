"""SecurityEventStreams: streams of Security Event Tokens to receivers, by push (RFC 8935) or poll (RFC 8936)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any, Final, NamedTuple, Self

from ...backends.sharing import SessionFactory
from ..decoding import OwnerEncryption
from ..session_event import SessionEvent
from ..source import Source
from ..webhooks.addresses import check_url
from ..webhooks.endpoint import Endpoint, check_sandboxes, new_id
from ..webhooks.endpoint_store import EndpointStore, Message
from ..webhooks.formats import Format, Request
from ..webhooks.reading import register_reader
from .signing_keys import TYPE, SigningKeys
from .tokens import DEFAULT_REASONS, check_reasons, claims_of

PUSH: Final = "set-push"
POLL: Final = "set-poll"

_ENDED: Final = "session.ended"


class PollStream(NamedTuple):
    """A new stream that its receiver polls.

    Attributes:
        id: of the stream; the receiver posts to `/streams/ID` of `poll_app`.
        token: the bearer token of the receiver. The store has only a hash of it.

    """

    id: str
    token: str

    def __repr__(self) -> str:
        return f"PollStream(id={self.id!r})"


class SecurityEventStreams:
    """The streams of Security Event Tokens that a store keeps. `WebhookEndpoints` lists, disables, and removes them.

    Pass `formats` to WebhookRelay, which feeds the streams. Serve `poll_app` for receivers that poll or fetch the keys.
    Methods raise subclasses of ProviderError when the store fails.

    Attributes:
        issuer: of the tokens.
        keys: returns the current keys.
        store: has the streams and their queues; `poll_app` uses it.

    """

    def __init__(
        self,
        source: SessionFactory | str,
        *,
        issuer: str,
        keys: SigningKeys | Callable[[], SigningKeys],
        encryption: OwnerEncryption | None = None,
        allow_hosts: Collection[str] = (),
    ) -> None:
        """Create an object for the streams of a store. Nothing is sent.

        Args:
            source: a session factory, or the URL of the store.
            issuer: the issuer of the tokens, usually the URL of the service.
            keys: the signing keys, or a function that returns them for each token, so that they can be rotated.
            encryption: the encryption of messages, the same as that of the relays.
            allow_hosts: names of hosts that may have private addresses, and URLs with http. Relays need the same.

        Raises:
            ValueError: `source` is neither a session factory nor a valid URL, or the issuer is not text.
            NotSupportedError: it is the factory of a custom provider.

        """
        if not isinstance(issuer, str) or not issuer:
            raise ValueError("issuer must be a text that is not empty")
        self._source = source
        self._store_source = Source(source)
        self.store = EndpointStore(self._store_source, encryption)
        self.issuer = issuer
        self.keys: Callable[[], SigningKeys] = (lambda: keys) if isinstance(keys, SigningKeys) else keys
        self._allow_hosts = frozenset(allow_hosts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, unless something else shares them."""
        await self._store_source.aclose()

    @property
    def formats(self) -> dict[str, Format]:
        """The formats that the relay needs for these streams."""
        return {PUSH: TokenFormat(self, pushes=True), POLL: TokenFormat(self, pushes=False)}

    def jwks(self) -> dict[str, Any]:
        """Return the public keys, as a JSON Web Key Set."""
        return self.keys().jwks()

    async def add_push(
        self,
        url: str,
        *,
        audience: str,
        authorization: str | None = None,
        reasons: Iterable[str] = DEFAULT_REASONS,
        sandboxes: Iterable[str] | None = None,
        allow_private: bool = False,
    ) -> Endpoint:
        """Add a receiver to which tokens are pushed.

        Args:
            url: the URL to which tokens are sent, as in `WebhookEndpoints.add`.
            audience: the receiver's name in the tokens.
            authorization: the Authorization header that the receiver expects.
            reasons: the reasons of ends to report; by default all but `expired` and `idle`.
            sandboxes: the sandboxes to report; None for all.
            allow_private: allow private addresses and the loopback, and http.

        Raises:
            ValueError: an argument is malformed, or the address in the URL is refused.

        """
        check_url(url, allow_private=allow_private, allow_hosts=self._allow_hosts)
        if authorization is not None and not (authorization.isascii() and authorization.isprintable()):
            raise ValueError("authorization must be printable ASCII text")
        settings = _settings(audience, reasons) | {"authorization": authorization}
        endpoint = _endpoint(PUSH, url, sandboxes, settings)
        return await self._add(replace(endpoint, allow_private=bool(allow_private)))

    async def add_poll(
        self,
        *,
        audience: str,
        reasons: Iterable[str] = DEFAULT_REASONS,
        sandboxes: Iterable[str] | None = None,
    ) -> PollStream:
        """Add a receiver that polls. Arguments and errors are those of `add_push`."""
        token = secrets.token_urlsafe(32)
        settings = _settings(audience, reasons) | {"token_hash": token_hash(token)}
        endpoint = await self._add(_endpoint(POLL, "", sandboxes, settings))
        return PollStream(endpoint.id, token)

    async def _add(self, endpoint: Endpoint) -> Endpoint:
        await register_reader(self._source, endpoint.id)
        await self.store.create(endpoint)
        return endpoint

    def sign(self, message: Message) -> str:
        """Return the token of a message, signed with the current key."""
        return self.keys().sign(message.content)


class TokenFormat:
    """The format of streams. Messages are claims, which are signed when they are sent."""

    def __init__(self, streams: SecurityEventStreams, *, pushes: bool) -> None:
        self.pushes = pushes
        self._streams = streams

    def message(self, endpoint: Endpoint, event: SessionEvent) -> Message | None:
        """Return the claims for the end of a session, or None if the receiver does not get them."""
        settings = endpoint.settings
        if event.reason not in settings["reasons"] or not endpoint.wants(event.type, event.sandbox_id):
            return None
        return Message(event.id, claims_of(event, self._streams.issuer, settings["audience"]))

    def request(self, endpoint: Endpoint, message: Message) -> Request:
        """Return the request that pushes a token."""
        headers = {"Content-Type": f"application/{TYPE}", "Accept": "application/json"}
        if endpoint.settings["authorization"] is not None:
            headers["Authorization"] = endpoint.settings["authorization"]
        return Request(headers, self._streams.sign(message).encode())


def token_hash(token: str) -> str:
    """Return the hash of a bearer token. The token is random, so no salt is needed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _endpoint(format_: str, url: str, sandboxes: Iterable[str] | None, settings: dict[str, Any]) -> Endpoint:
    return Endpoint(
        new_id(), url, types=(_ENDED,), sandboxes=check_sandboxes(sandboxes), format=format_, settings=settings
    )


def _settings(audience: str, reasons: Iterable[str]) -> dict[str, Any]:
    if not isinstance(audience, str) or not audience:
        raise ValueError("audience must be a text that is not empty")
    return {"audience": audience, "reasons": list(check_reasons(reasons))}
