"""WebhookRelay: delivers events to endpoints, in any number of processes."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Self

from ...backends.sharing import SessionFactory
from ...core.durations import ms_from_seconds
from ...core.figures import REPORTERS, Figure
from ...core.validation import positive
from ...exceptions import SessionError
from ..decoding import OwnerEncryption
from ..leases import check_lease
from ..source import Source
from .endpoint import WEBHOOK
from .endpoint_store import EndpointStore
from .formats import Format, WebhookFormat
from .reading import events_for, forget_reader
from .sender import TIMEOUT_SECONDS, Sender
from .worker import Context, Worker

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

logger = logging.getLogger("chuk_sessions.events")


class WebhookRelay:
    """A relay of events to the endpoints of a store. It runs until its context ends.

        async with WebhookRelay(url):
            ...

    Any number of relays may work at the same time. They share the work. If one is killed, the others take over its
    events after 10 s, and the messages that it was sending after 25 s. A message is delivered at least once;
    a repeat has the same `webhook-id`. While it runs, the relay also sweeps, so that expired and idle sessions are
    reported.
    """

    def __init__(
        self,
        source: SessionFactory | str,
        *,
        encryption: OwnerEncryption | None = None,
        allow_hosts: Collection[str] = (),
        in_flight: int = 10,
        timeout_seconds: float = TIMEOUT_SECONDS,
        lease_seconds: float = 10,
        poll_seconds: float = 0.5,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
        formats: dict[str, Format] | None = None,
    ) -> None:
        """Create a relay. Nothing is sent.

        Args:
            source: a session factory, or the URL of the store.
            encryption: the encryption of secrets, messages, and the owners of sessions.
            allow_hosts: names of hosts that may have private addresses, and URLs with http.
            in_flight: maximum number of concurrent requests to an endpoint. Further messages for it wait, and delay no
                others.
            timeout_seconds: time within which an endpoint must respond.
            lease_seconds: time after which other relays take over the events of one that was killed, and the messages
                that it was sending, `timeout_seconds` later. At least 0.1.
            poll_seconds: longest time between two polls of a queue, and between two polls of the endpoints.
            resolver: replaces the system's resolver of names.
            tls: replaces the default TLS settings of aiohttp.
            formats: further formats, by name, such as that of `SecurityEventStreams`.

        Raises:
            ValueError: an argument is malformed.
            NotSupportedError: `source` is the factory of a custom provider.

        """
        self._formats: dict[str, Format] = {WEBHOOK: WebhookFormat(), **(formats or {})}
        self._events_source, self._encryption = source, encryption
        self._lease_seconds = check_lease(lease_seconds)
        self._allow_hosts = frozenset(allow_hosts)
        self._in_flight = positive(in_flight, "in_flight")
        self._timeout_ms = ms_from_seconds(timeout_seconds, "timeout_seconds")
        self._poll_seconds = ms_from_seconds(poll_seconds, "poll_seconds") / 1000
        self._resolver, self._tls = resolver, tls
        self._source = Source(source)
        self.backend = self._source.backend
        self._store = EndpointStore(self._source, encryption)
        self._workers: dict[str, Worker] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._attempts, self._disabled, self._endpoints = Counter[str](), Counter[str](), Counter[str]()

    async def __aenter__(self) -> Self:
        """Start the relay. Raises a subclass of ProviderError if the store cannot be reached."""
        self._sender = Sender(resolver=self._resolver, tls=self._tls, timeout_seconds=self._timeout_ms / 1000)
        context = Context(
            store=self._store,
            sender=self._sender,
            formats=self._formats,
            events=lambda endpoint_id: events_for(
                self._events_source, endpoint_id, self._encryption, self._lease_seconds
            ),
            allow_hosts=self._allow_hosts,
            in_flight=self._in_flight,
            lease_ms=self._timeout_ms + round(1000 * self._lease_seconds),
            poll_seconds=self._poll_seconds,
            attempts=self._attempts,
            disabled=self._disabled,
        )
        REPORTERS.add(self)
        try:
            await self._look(context)
        except BaseException:
            await self._close()
            raise
        self._task = asyncio.create_task(self._supervise(context))
        return self

    @property
    def endpoint_ids(self) -> list[str]:
        """The ids of the endpoints that the relay works for."""
        return sorted(self._workers)

    def figures(self) -> list[Figure]:
        """Return the figures of the relay for telemetry, see `core.figures`."""
        return [
            *[Figure("webhook_attempts", self._attempts[name], (name,)) for name in ("delivered", "failed", "gone")],
            *[Figure("webhooks_disabled", self._disabled[name], (name,)) for name in ("gone", "failing")],
            *[Figure("webhook_endpoints", self._endpoints[name], (name,)) for name in ("enabled", "disabled")],
        ]

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop the relay. Attempts in flight may finish within their timeout, and their results are stored."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._close()

    async def _close(self) -> None:
        await asyncio.gather(*[worker.aclose() for worker in self._workers.values()], *self._stopping)
        await self._sender.aclose()
        await self._source.aclose()

    async def _supervise(self, context: Context) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self._look(context)
            except SessionError as error:
                logger.warning("the endpoints could not be read: %s", error)
            except Exception:
                logger.exception("the look at the endpoints failed, and is repeated")

    async def _look(self, context: Context) -> None:
        """Start a worker for each endpoint that is enabled, and stop the others, which may take a while."""
        found = await self._store.load()
        self._endpoints = Counter("enabled" if one.enabled else "disabled" for one in found.values())
        active = {
            name: endpoint for name, endpoint in found.items() if endpoint.enabled and endpoint.format in self._formats
        }
        for name in [name for name in self._workers if name not in active]:
            task = asyncio.create_task(self._stop(name, self._workers.pop(name)))
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)
        for name, endpoint in active.items():
            if name in self._workers:
                self._workers[name].update(endpoint)
            else:
                self._workers[name] = Worker(endpoint, context)

    async def _stop(self, name: str, worker: Worker) -> None:
        await worker.aclose()
        try:
            if not await self._store.exists(name):
                # The worker may have read after the endpoint was removed, and so have become a reader again.
                await forget_reader(self._events_source, name)
        except SessionError as error:
            logger.warning("the reader of the endpoint %s could not be forgotten: %s", name, error)
