"""WebhookEndpoints: the receivers of webhooks, as the store keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Self

from ...backends.sharing import SessionFactory
from ...core.durations import ms_from_hours
from ..decoding import OwnerEncryption
from ..source import Source
from .addresses import check_url
from .endpoint import DeadLetter, Endpoint, new_endpoint
from .endpoint_store import EndpointStore
from .reading import forget_reader, register_reader
from .signing import new_secret


class WebhookEndpoints:
    """The receivers of webhooks. Any number of processes may change them; relays notice a change within a second.

    Methods raise ValueError for an unknown id, and subclasses of ProviderError when the store fails.
    """

    def __init__(
        self,
        source: SessionFactory | str,
        *,
        encryption: OwnerEncryption | None = None,
        allow_hosts: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Create an object for the endpoints of a store. Nothing is sent.

        Args:
            source: a session factory, or the URL of the store.
            encryption: the encryption of secrets and messages, the same as that of the relays.
            allow_hosts: names of hosts that may have private addresses, and URLs with http. Relays need the same.
            clock: returns the time in seconds since 1970, by which old secrets expire.

        Raises:
            ValueError: `source` is neither a session factory nor a valid URL.
            NotSupportedError: it is the factory of a custom provider.

        """
        self._source, self._encryption = source, encryption
        self._store_source = Source(source)
        self._store = EndpointStore(self._store_source, encryption)
        self._allow_hosts = frozenset(allow_hosts)
        self._clock = clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, unless something else shares them."""
        await self._store_source.aclose()

    async def add(
        self,
        url: str,
        types: Iterable[str] | None = None,
        sandboxes: Iterable[str] | None = None,
        allow_private: bool = False,
        ordered: bool = False,
    ) -> Endpoint:
        """Add an endpoint, which receives all later events. Returns it with its id and secret.

        Args:
            url: the URL to which messages are sent, at most 2048 characters. It must begin with https.
            types: the types of events to send; None for all.
            sandboxes: the sandboxes whose events to send; None for all.
            allow_private: allow private addresses and the loopback, and http. Never set it for a URL of a customer.
            ordered: send a message only after all earlier ones have been delivered or given up.

        Raises:
            ValueError: an argument is malformed, or the address in the URL is refused.

        """
        check_url(url, allow_private=allow_private, allow_hosts=self._allow_hosts)
        endpoint = new_endpoint(url, types, sandboxes, allow_private=allow_private, ordered=ordered)
        await register_reader(self._source, endpoint.id)
        await self._store.create(endpoint)
        return endpoint

    async def list(self) -> list[Endpoint]:
        """Return all endpoints in the order of their ids. Those that cannot be read are logged and left out."""
        return sorted((await self._store.load()).values(), key=lambda endpoint: endpoint.id)

    async def get(self, endpoint_id: str) -> Endpoint:
        """Return an endpoint."""
        return await self._store.get(endpoint_id)

    async def rotate_secret(self, endpoint_id: str, *, overlap_hours: float = 24) -> Endpoint:
        """Give an endpoint a new secret. Messages are signed with both until the old one expires.

        Raises ValueError for hours that are not positive and finite.
        """
        expires_at = self._now_ms() + ms_from_hours(overlap_hours, "overlap_hours")
        secret = new_secret()

        def rotate(endpoint: Endpoint) -> Endpoint:
            now = self._now_ms()
            older = [(key, min(until or expires_at, expires_at)) for key, until in endpoint.secrets]
            valid = [(key, until) for key, until in older if until > now]
            return replace(endpoint, secrets=((secret, None), *valid))

        return await self._store.change(endpoint_id, rotate)

    async def enable(self, endpoint_id: str) -> Endpoint:
        """Resume sending messages to an endpoint, including those that wait."""
        return await self._store.change(
            endpoint_id, lambda found: replace(found, enabled=True, disabled_because=None, failing_since=None)
        )

    async def disable(self, endpoint_id: str) -> Endpoint:
        """Stop sending messages to an endpoint. They wait, and further events wait in the stream, up to its cap."""
        return await self._store.change(
            endpoint_id,
            lambda found: replace(found, enabled=False, disabled_because=found.disabled_because or "request"),
        )

    async def remove(self, endpoint_id: str) -> bool:
        """Remove an endpoint with its messages and dead letters. Returns whether it existed."""
        removed = await self._store.remove(endpoint_id)
        if removed:
            await forget_reader(self._source, endpoint_id)
        return removed

    async def dead_letters(self, endpoint_id: str) -> list[DeadLetter]:  # type: ignore[valid-type]
        """Return the messages whose delivery was given up, the oldest first. The store keeps the latest 10,000.

        Raises KeyUnavailableError if one is encrypted under a key that is not available.
        """
        await self._store.get(endpoint_id)
        return await self._store.dead_letters(endpoint_id)

    async def resend(self, endpoint_id: str, message_ids: Collection[str] | None = None) -> int:
        """Send dead letters again, by default all. Each gets ten new attempts. Returns their number."""
        endpoint = await self._store.get(endpoint_id)
        letters = await self._store.dead_letters(endpoint_id)
        chosen = letters if message_ids is None else [letter for letter in letters if letter.id in message_ids]
        return await self._store.resend(endpoint, chosen)

    def _now_ms(self) -> int:
        return round(1000 * self._clock())
