"""The HTTP client: sends requests to checked addresses only, and never follows a redirect."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .addresses import RefusedAddressError, check_address, check_url
from .resolver import ThreadsResolver
from .schedule import retry_after_ms

TIMEOUT_SECONDS: Final = 15.0
"""Time within which the response must begin."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an attempt.

    Attributes:
        delivered: whether the endpoint has accepted the message (status 2xx).
        gone: whether the endpoint wants no more messages (status 410).
        error: the reason why the message was not delivered; empty if it was.
        retry_after_ms: the delay that the endpoint requests; None without one.

    """

    delivered: bool = False
    gone: bool = False
    error: str = ""
    retry_after_ms: int | None = None


class CheckedResolver(AbstractResolver):
    """A resolver that refuses a name if it has an address that webhooks must not reach."""

    def __init__(self, resolver: AbstractResolver, *, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name. Raises RefusedAddressError, or OSError for a name without addresses."""
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            check_address(result["host"], allow_private=self._allow_private)
        return found

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


class Sender:
    """An HTTP client for webhooks.

    Connections to private addresses have a pool of their own, so that an endpoint without permission never uses one.
    """

    def __init__(
        self,
        *,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """Create the pools. This needs a running event loop. `resolver` and `tls` replace the system's."""
        resolver = resolver or ThreadsResolver()
        self._resolver = resolver
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._sessions = {private: self._session(resolver, tls, private) for private in (False, True)}

    @staticmethod
    def _session(resolver: AbstractResolver, tls: ssl.SSLContext | None, private: bool) -> aiohttp.ClientSession:
        def new_socket(address: Any) -> socket.socket:
            # Each connection comes here with the address that it goes to, however it was found.
            family, kind, protocol, _, target = address
            check_address(target[0], allow_private=private)
            return socket.socket(family, kind, protocol)

        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(resolver, allow_private=private),
            use_dns_cache=False,
            ssl=tls or True,
            limit=0,  # endpoints do not wait for each other; each has a limit of its own
            socket_factory=new_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "chuk-sessions"},
            skip_auto_headers=("Accept-Encoding",),
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, allow_private: bool) -> Outcome:
        """Send a request, and return its outcome, also that of a refused URL or a failed connection.

        The body of the response is not read: only its status counts.
        """
        try:
            check_url(url, allow_private=allow_private)
            request = self._sessions[allow_private].post(
                url, data=body, headers=headers, allow_redirects=False, timeout=self._timeout
            )
            # Leaving the block closes the connection, unless the whole response has arrived.
            async with request as response:
                return _outcome(response)
        except asyncio.TimeoutError:  # noqa: UP041  (also a subclass of OSError)
            return Outcome(error=f"no response within {self._timeout.total:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(error=_reason(error))

    async def aclose(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        await self._resolver.close()


def _outcome(response: aiohttp.ClientResponse) -> Outcome:
    status = response.status
    if 200 <= status < 300:
        return Outcome(delivered=True)
    wait = retry_after_ms(response.headers.get("Retry-After"))
    return Outcome(gone=status == 410, error=f"status {status}", retry_after_ms=wait)


def _reason(error: BaseException) -> str:
    """Return the reason why a request failed. The text contains nothing that the endpoint has sent."""
    refused: BaseException | None = error
    while refused is not None and not isinstance(refused, RefusedAddressError):
        refused = refused.__cause__ or refused.__context__
    if refused is not None or type(error) is ValueError:
        return str(refused or error)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name of the host cannot be resolved"
    return f"the request failed: {type(error).__name__}"
