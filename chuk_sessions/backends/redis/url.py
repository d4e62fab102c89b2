"""Redis URLs: parsing them, and hiding their secrets."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, unquote

from redis.asyncio.connection import URL_QUERY_ARGUMENT_PARSERS

from .options import Address, Options

_SCHEME = re.compile(r"(rediss?)(?:\+(sentinel|cluster))?://|unix://")
_ANY_SCHEME = re.compile(r"[a-z+]+://")
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%a-z]+)\]|(?P<name>[^:\[\]\s]*))(?::(?P<port>\d+))?")
_POOL_SETTINGS = frozenset({
    "decode_responses", "encoding", "encoding_errors", "health_check_interval", "legacy_responses", "max_connections",
    "retry_on_timeout", "socket_read_size", "socket_timeout", "timeout",
})  # fmt: skip
"""Settings of redis-py's pools. They have no effect here and are ignored."""

REDIS_PORT = 6379
SENTINEL_PORT = 26379

_warned = False


class Kind(Enum):
    """The kind of servers at the addresses of a URL."""

    SERVER = "one server, or one node of a cluster"
    SENTINEL = "sentinels"
    CLUSTER = "nodes of a cluster"


@dataclass(frozen=True, slots=True)
class StoreURL:
    """A parsed URL.

    Attributes:
        kind: the kind of servers at the addresses.
        addresses: the addresses, in the URL's order.
        options: options of connections to servers.
        master: the name of the primary that sentinels monitor; empty for other kinds.
        sentinel_options: options of connections to sentinels.
        redacted: the URL without its secrets.

    """

    kind: Kind
    addresses: tuple[Address, ...]
    options: Options
    master: str = ""
    sentinel_options: Options = field(default_factory=Options)
    redacted: str = ""


def without_secrets(url: str) -> str:
    """Return the URL for logs and messages, without user, password, and query.

    Only the scheme remains if the query contains an `@`, since a part of the password may precede it.
    """
    scheme = _ANY_SCHEME.match(url)
    head, _, query = url[scheme.end() if scheme else 0 :].partition("?")
    if scheme is None or "@" in query:
        return f"{scheme[0] if scheme else ''}***"
    _, at, hosts = head.rpartition("@")
    return f"{scheme[0]}{'***' if at else ''}{at}{hosts}"


def parse(url: str, options: Options | None = None, *, tls_insecure: bool = False, **changes: Any) -> StoreURL:
    """Parse a URL. It overrides `options`, and `changes` override it. Raises ValueError for an invalid URL.

    Forms: `redis://USER:PASSWORD@HOST:PORT/DB`, `rediss://` for TLS, and `unix://USER:PASSWORD@/PATH?db=DB`. Several
    hosts, separated by commas, are nodes of a cluster, or sentinels if a name follows (`redis://S1,S2/MASTER`,
    `redis://S1,S2/MASTER/DB`). With `redis+cluster://` and `redis+sentinel://` (and `rediss+...`), a single host is
    one, too. User and password are for the servers. For the sentinels, they are `?sentinel_username=` and
    `?sentinel_password=`. Names and passwords are percent-encoded. The query may also contain `db`, `protocol` (2 or
    3), `client_name`, `socket_connect_timeout` (in seconds), `socket_keepalive`, and redis-py's `ssl_...` settings.

    A name after a single host with the port of servers, as in `redis://HOST/abc`, is an error, because a database is a
    number. A sentinel there needs its port or `redis+sentinel://`.
    """
    try:
        return _parse(url, options or Options(), tls_insecure, changes)
    except ValueError as error:
        raise ValueError(f"cannot read the Redis URL {without_secrets(url)!r}: {error}") from None


def _parse(url: str, options: Options, tls_insecure: bool, changes: dict[str, Any]) -> StoreURL:
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise ValueError(
            "it must begin with redis://, rediss:// (TLS) or unix://; with redis+sentinel://, rediss+sentinel://, "
            "redis+cluster:// or rediss+cluster://"
        )
    rest, _, query = url[scheme.end() :].partition("?")
    netloc, slash, path = rest.partition("/")
    login, _, hosts = netloc.rpartition("@")
    if "@" in path + query:
        raise ValueError("/ and ? in a password, and @ after the hosts, must be percent-encoded")
    settings = _settings(query)
    sentinel_login = {name: settings.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    options = _with_settings(options, settings, tls=scheme[1] == "rediss", insecure=tls_insecure)
    options = _with_changes(_with_login(options, login), changes)
    if scheme[1] is None:
        parsed = _at_socket(slash + path, options)
    else:
        parsed = _at_hosts(scheme[2], hosts, [unquote(part) for part in path.split("/") if part], options)
    sentinel_options = replace(options, db=0, credentials=None, connections=1, policy_seen=None, **sentinel_login)
    return replace(parsed, sentinel_options=sentinel_options, redacted=without_secrets(url))


def _at_socket(path: str, options: Options) -> StoreURL:
    if not path:
        raise ValueError("a unix:// URL must name a socket")
    return StoreURL(Kind.SERVER, (Address(path=unquote(path)),), options)


def _at_hosts(scheme_kind: str | None, hosts: str, path: list[str], options: Options) -> StoreURL:
    kind = _kind(scheme_kind, hosts, path)
    if kind is Kind.SENTINEL and not path:
        raise ValueError("the name of the primary that the sentinels monitor must follow them: /NAME")
    if kind is Kind.SENTINEL and scheme_kind is None:
        _check_name(hosts, path[0])
    master = path.pop(0) if kind is Kind.SENTINEL else ""
    options = _with_database(options, path)
    if kind is Kind.CLUSTER and options.db:
        raise ValueError("a cluster has database 0 only")
    default_port = SENTINEL_PORT if kind is Kind.SENTINEL else REDIS_PORT
    return StoreURL(kind, tuple(_address(host, default_port) for host in hosts.split(",")), options, master)


def _check_name(hosts: str, name: str) -> None:
    """Raise ValueError for a name after one host with the port of servers: most likely a wrong database."""
    if "," not in hosts and _address(hosts, REDIS_PORT).port == REDIS_PORT:
        raise ValueError(
            f"{name!r} would be the name of a primary that Sentinels monitor: a database is a number. If there is a "
            "sentinel at this host, add its port or begin the URL with redis+sentinel://"
        )


def _kind(scheme_kind: str | None, hosts: str, path: list[str]) -> Kind:
    if scheme_kind is not None:
        return Kind[scheme_kind.upper()]
    if path and not _is_number(path[0]):
        return Kind.SENTINEL
    return Kind.CLUSTER if "," in hosts else Kind.SERVER


def _address(text: str, default_port: int) -> Address:
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError("a host must be a name or an address (IPv6 in brackets), and may have a port after a colon")
    port = int(match["port"]) if match["port"] else default_port
    if not 0 < port < 1 << 16:
        raise ValueError("a port must be a number from 1 to 65535")
    return Address(unquote(match["six"] or match["name"]) or "localhost", port)


def _with_login(options: Options, login: str) -> Options:
    if not login:
        return options
    user, _, password = login.partition(":")
    return replace(options, username=unquote(user) or None, password=unquote(password) or None)


def _with_changes(options: Options, changes: dict[str, Any]) -> Options:
    options = replace(options, **changes)
    if options.credentials is not None and (options.username or options.password):
        raise ValueError("give either a credential provider or user and password")
    return options


def _with_database(options: Options, path: list[str]) -> Options:
    if not path:
        return options
    if len(path) > 1 or not _is_number(path[0]):
        raise ValueError("the path must be the number of a database")
    return replace(options, db=int(path[0]))


def _with_settings(options: Options, settings: dict[str, Any], *, tls: bool, insecure: bool) -> Options:
    tls_settings = {name: settings.pop(name) for name in list(settings) if name.startswith("ssl_")}
    if tls and insecure:
        _warn_once()
        tls_settings |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    names = {"socket_connect_timeout": "connect_timeout", "socket_keepalive": "keepalive"}
    known = {names.get(name, name): value for name, value in settings.items() if name not in _POOL_SETTINGS}
    unknown = known.keys() - {"db", "protocol", "client_name", "username", "password", "connect_timeout", "keepalive"}
    if unknown:
        raise ValueError(f"there is no setting {', '.join(sorted(unknown))}")
    if known.get("protocol") not in (None, 2, 3):
        raise ValueError("protocol must be 2 or 3")
    return replace(options, tls=tuple(tls_settings.items()) if tls else None, **known)


def _settings(query: str) -> dict[str, Any]:
    parsed = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        read = URL_QUERY_ARGUMENT_PARSERS.get(name, str)
        try:
            parsed[name] = read(text)
        except (TypeError, ValueError):
            raise ValueError(f"{name} has an invalid value") from None
    return parsed


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _warn_once() -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            "REDIS_TLS_INSECURE=1: TLS certificates are not checked; anybody on the network can read and change "
            "sessions",
            RuntimeWarning,
            stacklevel=2,
        )
