"""Checks of URLs and addresses, so that nobody reaches the private network through a webhook.

`check_url` refuses URLs that are visibly wrong. For every connection, the client checks the address that a name
resolves to, and connects to the checked address.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

MAX_URL_LENGTH: Final = 2048

_METADATA: Final = [
    ip_network(text)
    for text in (
        "169.254.0.0/16", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::/32", "fd20:ce::254",
        "fd00:42::42",
    )
]  # fmt: skip
"""Services of clouds that hand out credentials."""

_ASSIGNED: Final = [ip_network(text) for text in ("2000::/3", "fc00::/7", "::1/128")]
"""The IPv6 addresses of hosts: public ones, private ones, and the loopback. All else is reserved or outdated."""

_NAT64: Final = ip_network("64:ff9b::/96")
_TRANSITION: Final = [
    ip_network(text) for text in ("::/96", "::ffff:0:0/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")
]
"""Forms of IPv6 addresses that contain an IPv4 address. No public host needs them."""

_THIS_NETWORK: Final = ip_network("0.0.0.0/8")
"""Addresses of the sender itself (RFC 1122), which Python does not call reserved."""

_OF_THIS_HOST: Final = (IPv6Address("::"), IPv6Address("::1"))

_VISIBLE_ASCII = re.compile(r"[!-~]+", re.ASCII).fullmatch
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?", re.ASCII).fullmatch


class RefusedAddressError(OSError):
    """An address that webhooks must not reach."""


def refusal(text: str, *, allow_private: bool) -> str | None:
    """Return the reason why webhooks must not reach an address, or None if they may.

    `allow_private` allows private addresses and the loopback, but never link-local addresses and metadata services.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return "not an address"
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            address = IPv4Address(int(address) & 0xFFFFFFFF)
        elif address not in _OF_THIS_HOST and any(address in network for network in _TRANSITION):
            return "an IPv4 address within an IPv6 address"
    if any(address in network for network in _METADATA):
        return "a metadata service"
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        return "unspecified, multicast, or link-local"
    if _is_reserved(address):
        return "reserved"
    return None if address.is_global or allow_private else "private"


def _is_reserved(address: IPv4Address | IPv6Address) -> bool:
    # Python calls most of the IPv6 addresses that were never assigned global.
    if isinstance(address, IPv6Address):
        return not any(address in network for network in _ASSIGNED)
    return address.is_reserved or address in _THIS_NETWORK


def check_address(text: str, *, allow_private: bool) -> None:
    """Raise RefusedAddressError for an address that webhooks must not reach."""
    reason = refusal(text, allow_private=allow_private)
    if reason is not None:
        raise RefusedAddressError(f"the address is refused: {reason}")


def may_be_private(url: str, allow_private: bool, allow_hosts: Collection[str]) -> bool:
    """Return whether an endpoint may have a private address and use http, by its own setting or by its host."""
    return allow_private or (urlsplit(url).hostname or "") in {host.lower() for host in allow_hosts}


def check_url(url: object, *, allow_private: bool, allow_hosts: Collection[str] = ()) -> str:
    """Return the URL of an endpoint.

    Raises:
        ValueError: the URL is malformed, uses http without permission, or has an address that webhooks must not reach.

    """
    if not isinstance(url, str) or len(url) > MAX_URL_LENGTH or not _VISIBLE_ASCII(url) or "\\" in url:
        raise ValueError(f"the URL must be 1 to {MAX_URL_LENGTH} visible ASCII characters without backslashes")
    parts = urlsplit(url)
    host = _check_parts(parts)
    private = may_be_private(url, allow_private, allow_hosts)
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise ValueError("the URL must begin with https://; with allow_private=True, http:// is allowed")
    # Resolvers take numbers in many forms, such as 127.1 or 0x7f000001. Only the usual form can be checked.
    if ":" in host or _ENDS_IN_A_NUMBER(host):
        reason = refusal(host, allow_private=private)
        if reason is not None:
            hint = "; allow_private=True allows private addresses" if reason == "private" else ""
            raise ValueError(f"the address in the URL is refused: {reason}{hint}")
    return url


def _check_parts(parts: SplitResult) -> str:
    try:
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        has_port = False
    if not parts.hostname or not has_port or "@" in parts.netloc or parts.fragment:
        raise ValueError("the URL must have a host, may have a port, and must have neither user nor fragment")
    return parts.hostname
