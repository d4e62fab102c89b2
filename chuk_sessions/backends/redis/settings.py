"""Settings of connections, from the environment and from arguments.

| environment | argument | meaning | default |
|---|---|---|---|
| SESSION_REDIS_CONNECT_TIMEOUT | connect_timeout | seconds to open a connection, including login | 5 |
| SESSION_REDIS_CALL_TIMEOUT | call_timeout | seconds for a call, including all retries | 5 |
| SESSION_REDIS_RETRIES | retries | retries of a call that has reached a server, within its timeout | 16 |
| SESSION_REDIS_MAX_IN_FLIGHT | max_in_flight | the in-flight limit of a node; calls over it wait | 4096 |
| SESSION_REDIS_CONNECTIONS | connections | connections per node and event loop | 1 |
| SESSION_REDIS_CLIENT_NAME | client_name | the name in CLIENT LIST | chuk-sessions |
| SESSION_REDIS_WAIT_REPLICAS | wait_replicas | replicas that must acknowledge creation, rotation, and deletion | 0 |
| SESSION_REDIS_WAIT_TIMEOUT | wait_timeout | seconds to wait for them, before a NotReplicatedError | 0.5 |

Two settings exist only as arguments. `credentials` is a credential provider of redis-py. `address_remap` is a
function for NAT or tunnels: it takes the (host, port) of a node that CLUSTER SLOTS, MOVED, ASK, or Sentinels name, and
returns the (host, port) at which this process reaches the node. Addresses in the URL are used as they are.

Arguments override the URL's query, and the query overrides the environment.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, Final, TypedDict, Unpack

from .options import Options, Remap

CLIENT_NAME: Final = "chuk-sessions"


class ConnectionSettings(TypedDict, total=False):
    """Settings given as arguments. Those left out or None come from the environment."""

    connect_timeout: float | None
    call_timeout: float | None
    retries: int | None
    max_in_flight: int | None
    connections: int | None
    client_name: str | None
    wait_replicas: int | None
    wait_timeout: float | None
    credentials: Any
    address_remap: Remap | None


def from_env() -> Options:
    """Return the options that the environment sets now. Raises ValueError for an invalid value."""
    values: dict[str, Any] = {"client_name": CLIENT_NAME}
    for name, read in _READERS.items():
        variable = f"SESSION_REDIS_{name.upper()}"
        text = os.environ.get(variable)
        if text:
            values[name] = read(text, variable)
    return Options(**values)


def overrides(**settings: Unpack[ConnectionSettings]) -> dict[str, Any]:
    """Return the fields of Options that the arguments change. Raises ValueError for an invalid value."""
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    provider = given.pop("credentials", None)
    values = {name: _ARGUMENTS[name](value, name) for name, value in given.items()}
    return values if provider is None else {**values, "credentials": provider}


def _seconds(value: object, name: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not 0 < number < math.inf:
        raise ValueError(f"{name} must be a positive number of seconds, not {value!r}")
    return number


def _count(minimum: int) -> Callable[[object, str], int]:
    def read(value: object, name: str) -> int:
        number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
        if isinstance(number, bool) or not isinstance(number, int) or number < minimum:
            raise ValueError(f"{name} must be a whole number of at least {minimum}, not {value!r}")
        return number

    return read


def _name(value: object, name: str) -> str:
    if not isinstance(value, str) or not all("!" <= character <= "~" for character in value):
        raise ValueError(f"{name} must be printable ASCII without spaces, not {value!r}")
    return value


def _callable(value: object, name: str) -> object:
    if not callable(value):
        raise ValueError(f"{name} must be callable, not {value!r}")
    return value


_READERS: Final[dict[str, Callable[[object, str], Any]]] = {
    "connect_timeout": _seconds,
    "call_timeout": _seconds,
    "retries": _count(0),
    "max_in_flight": _count(1),
    "connections": _count(1),
    "client_name": _name,
    "wait_replicas": _count(0),
    "wait_timeout": _seconds,
}
_ARGUMENTS: Final[dict[str, Callable[[object, str], Any]]] = {**_READERS, "address_remap": _callable}
"""The readers of arguments. There is one more than of environment variables."""
