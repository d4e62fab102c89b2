"""Redis URLs: what they say, and how they look without their secrets."""

from __future__ import annotations

import re
import warnings
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url

from ...exceptions import NotSupportedError

_SCHEMES = ("redis", "rediss", "unix")
_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@")
_QUERY = re.compile(r"\?.*", re.DOTALL)

_warned = False


def without_secrets(url: str) -> str:
    """The URL for logs and messages: user, password and query are left out."""
    return _QUERY.sub("", _CREDENTIALS.sub("***@", url))


def connection_options(url: str, tls_insecure: bool) -> dict[str, Any]:
    """Keyword arguments for redis-py's connection pool.

    `redis://`, `rediss://` (TLS) and `unix://` with user, password and database. Raises ValueError for anything else,
    and NotSupportedError for the forms of Sentinel and Cluster.
    """
    shown = without_secrets(url)
    scheme, _, rest = url.partition("://")
    if scheme in ("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster") or (
        scheme in ("redis", "rediss") and "," in rest.rpartition("@")[2].partition("?")[0]
    ):
        raise NotSupportedError(f"Sentinel and Cluster are not supported yet: {shown}")
    if scheme not in _SCHEMES:
        raise ValueError(f"a Redis URL begins with redis://, rediss:// or unix://, not {shown!r}")
    try:
        _check(url, scheme)
        options = dict(parse_url(url))
    except ValueError as error:
        raise ValueError(f"cannot read the Redis URL {shown!r}: {error}") from None
    if scheme == "rediss" and tls_insecure:
        _warn_once()
        options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    return options


def _check(url: str, scheme: str) -> None:
    parts = urlsplit(url)
    if scheme == "unix":
        if not parts.path:
            raise ValueError("a unix:// URL names a socket")
        return
    if parts.port == 0:
        raise ValueError("port 0 is no port")
    database = parts.path.strip("/")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError("the path is the number of a database")


def _warn_once() -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            "REDIS_TLS_INSECURE=1: TLS certificates are not checked; anybody on the way can read and change sessions",
            RuntimeWarning,
            stacklevel=2,
        )
