"""Redis URLs: what they say, and how they look without their secrets."""

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
_OF_A_POOL = frozenset({
    "decode_responses", "encoding", "encoding_errors", "health_check_interval", "legacy_responses", "max_connections",
    "retry_on_timeout", "socket_read_size", "socket_timeout", "timeout",
})  # fmt: skip
"""Settings of redis-py's pools that have no meaning here, and do no harm."""

REDIS_PORT = 6379
SENTINEL_PORT = 26379

_warned = False


class Kind(Enum):
    """What stands at the addresses of a URL."""

    SERVER = "a server, or one node of a cluster"
    SENTINEL = "sentinels"
    CLUSTER = "nodes of a cluster"


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL says.

    Attributes:
        kind: of what is at the addresses.
        addresses: in the URL's order.
        options: for connections to servers.
        master: the name under which sentinels know the servers; empty for other kinds.
        sentinel_options: for connections to sentinels.
        shown: the URL without its secrets.

    """

    kind: Kind
    addresses: tuple[Address, ...]
    options: Options
    master: str = ""
    sentinel_options: Options = field(default_factory=Options)
    shown: str = ""


def without_secrets(url: str) -> str:
    """The URL for logs and messages: user, password and query are left out, and all else where an `@` behind them
    leaves it open what belongs to a password.
    """
    scheme = _ANY_SCHEME.match(url)
    head, _, query = url[scheme.end() if scheme else 0 :].partition("?")
    if scheme is None or "@" in query:
        return f"{scheme[0] if scheme else ''}***"
    _, at, place = head.rpartition("@")
    return f"{scheme[0]}{'***' if at else ''}{at}{place}"


def parse(url: str, options: Options | None = None, *, tls_insecure: bool = False, **changes: Any) -> Target:
    """What a URL says, over `options`, and `changes` over that. Raises ValueError for one that cannot be read.

    `redis://USER:PASSWORD@HOST:PORT/DB`, `rediss://` the same with TLS, `unix://USER:PASSWORD@/PATH?db=DB`. Several
    hosts with commas between them are nodes of a cluster, or sentinels where a name comes after them
    (`redis://S1,S2/MASTER`, `redis://S1,S2/MASTER/DB`); `redis+cluster://` and `redis+sentinel://` (and `rediss+...`)
    say so with one host, too. User and password are the servers'; the sentinels' are `?sentinel_username=` and
    `?sentinel_password=`. Names and passwords are percent-encoded. The query can also hold `db`, `protocol` (2 or 3),
    `client_name`, `socket_connect_timeout`, `socket_keepalive`, and redis-py's `ssl_...` settings.

    A name behind one host at the servers' port, as in `redis://HOST/abc`, is refused: a database is a number, and a
    sentinel there needs its port or `redis+sentinel://`.
    """
    try:
        return _parse(url, options or Options(), tls_insecure, changes)
    except ValueError as error:
        raise ValueError(f"cannot read the Redis URL {without_secrets(url)!r}: {error}") from None


def _parse(url: str, options: Options, tls_insecure: bool, changes: dict[str, Any]) -> Target:
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
        raise ValueError("/ and ? in a password, and @ behind the hosts, are percent-encoded")
    settings = _settings(query)
    sentinel_login = {name: settings.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    options = _with_settings(options, settings, tls=scheme[1] == "rediss", insecure=tls_insecure)
    options = _with_changes(_with_login(options, login), changes)
    if scheme[1] is None:
        target = _at_a_socket(slash + path, options)
    else:
        target = _at_hosts(scheme[2], hosts, [unquote(part) for part in path.split("/") if part], options)
    sentinels = replace(options, db=0, credentials=None, connections=1, policy_seen=None, **sentinel_login)
    return replace(target, sentinel_options=sentinels, shown=without_secrets(url))


def _at_a_socket(path: str, options: Options) -> Target:
    if not path:
        raise ValueError("a unix:// URL names a socket")
    return Target(Kind.SERVER, (Address(path=unquote(path)),), options)


def _at_hosts(named: str | None, hosts: str, names: list[str], options: Options) -> Target:
    kind = _kind(named, hosts, names)
    if kind is Kind.SENTINEL and not names:
        raise ValueError("the name that the sentinels watch comes after them: /NAME")
    if kind is Kind.SENTINEL and named is None:
        _check_name(hosts, names[0])
    master = names.pop(0) if kind is Kind.SENTINEL else ""
    options = _with_database(options, names)
    if kind is Kind.CLUSTER and options.db:
        raise ValueError("a cluster has database 0 only")
    default_port = SENTINEL_PORT if kind is Kind.SENTINEL else REDIS_PORT
    return Target(kind, tuple(_address(host, default_port) for host in hosts.split(",")), options, master)


def _check_name(hosts: str, name: str) -> None:
    """Raise ValueError for one host at the servers' port with a name behind it. Most likely a database was meant."""
    if "," not in hosts and _address(hosts, REDIS_PORT).port == REDIS_PORT:
        raise ValueError(
            f"{name!r} would be the name of a primary that Sentinels watch: a database is a number. If there is a "
            "sentinel at this host, name its port or begin with redis+sentinel://"
        )


def _kind(named: str | None, hosts: str, names: list[str]) -> Kind:
    if named is not None:
        return Kind[named.upper()]
    if names and not _is_number(names[0]):
        return Kind.SENTINEL
    return Kind.CLUSTER if "," in hosts else Kind.SERVER


def _address(text: str, default_port: int) -> Address:
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError("a host is a name or an address, IPv6 in brackets, and a port after a colon")
    port = int(match["port"]) if match["port"] else default_port
    if not 0 < port < 1 << 16:
        raise ValueError("a port is a number from 1 to 65535")
    return Address(unquote(match["six"] or match["name"]) or "localhost", port)


def _with_login(options: Options, login: str) -> Options:
    if not login:
        return options
    user, _, password = login.partition(":")
    return replace(options, username=unquote(user) or None, password=unquote(password) or None)


def _with_changes(options: Options, changes: dict[str, Any]) -> Options:
    options = replace(options, **changes)
    if options.credentials is not None and (options.username or options.password):
        raise ValueError("a credential provider takes the place of user and password")
    return options


def _with_database(options: Options, names: list[str]) -> Options:
    if not names:
        return options
    if len(names) > 1 or not _is_number(names[0]):
        raise ValueError("the path is the number of a database")
    return replace(options, db=int(names[0]))


def _with_settings(options: Options, settings: dict[str, Any], *, tls: bool, insecure: bool) -> Options:
    tls_settings = {name: settings.pop(name) for name in list(settings) if name.startswith("ssl_")}
    if tls and insecure:
        _warn_once()
        tls_settings |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    names = {"socket_connect_timeout": "connect_timeout", "socket_keepalive": "keepalive"}
    known = {names.get(name, name): value for name, value in settings.items() if name not in _OF_A_POOL}
    unknown = known.keys() - {"db", "protocol", "client_name", "username", "password", "connect_timeout", "keepalive"}
    if unknown:
        raise ValueError(f"there is no setting {', '.join(sorted(unknown))}")
    if known.get("protocol") not in (None, 2, 3):
        raise ValueError("protocol is 2 or 3")
    return replace(options, tls=tuple(tls_settings.items()) if tls else None, **known)


def _settings(query: str) -> dict[str, Any]:
    parsed = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        read = URL_QUERY_ARGUMENT_PARSERS.get(name, str)
        try:
            parsed[name] = read(text)
        except (TypeError, ValueError):
            raise ValueError(f"{name} has a value that it cannot have") from None
    return parsed


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _warn_once() -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            "REDIS_TLS_INSECURE=1: TLS certificates are not checked; anybody on the way can read and change sessions",
            RuntimeWarning,
            stacklevel=2,
        )
