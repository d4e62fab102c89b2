"""Settings of the connections, from the environment and from arguments.

| environment | argument | meaning | default |
|---|---|---|---|
| SESSION_REDIS_CONNECT_TIMEOUT | connect_timeout | seconds to open a connection, log-in included | 5 |
| SESSION_REDIS_CALL_TIMEOUT | call_timeout | seconds for a call, with all its repeats | 5 |
| SESSION_REDIS_RETRIES | retries | how often a call that reached a server is tried again in that time | 16 |
| SESSION_REDIS_MAX_IN_FLIGHT | max_in_flight | calls under way at a node; more wait their turn | 4096 |
| SESSION_REDIS_LINKS | links | connections per node and event loop | 1 |
| SESSION_REDIS_CLIENT_NAME | client_name | what CLIENT LIST shows | chuk-sessions |
| SESSION_REDIS_WAIT_REPLICAS | wait_replicas | replicas that must have a session's making, rotation and end | 0 |
| SESSION_REDIS_WAIT_TIMEOUT | wait_timeout | seconds to wait for them; then it is a NotReplicatedError | 0.5 |

Two can be given as arguments only: `credential_provider`, which is one of redis-py's, and `address_remap`, which takes
(host, port) of a node as CLUSTER SLOTS, MOVED, ASK and Sentinels name it and returns those by which it is reached from
here, through NAT or a tunnel. The addresses in the URL are used as they are.

Arguments are stronger than a URL's query, and that than the environment.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, Final, TypedDict, Unpack

from .options import Options, Remap

CLIENT_NAME: Final = "chuk-sessions"


class ConnectionSettings(TypedDict, total=False):
    """The arguments; what is left out or None is as in the environment."""

    connect_timeout: float | None
    call_timeout: float | None
    retries: int | None
    max_in_flight: int | None
    connections: int | None
    client_name: str | None
    wait_replicas: int | None
    wait_timeout: float | None
    credential_provider: Any
    address_remap: Remap | None


def from_env() -> Options:
    """Options as the environment has them now. Raises ValueError for a value that cannot be."""
    given = {name: os.environ.get(f"SESSION_REDIS_{name.upper()}") for name in _READERS}
    values = {name: _READERS[name](text, f"SESSION_REDIS_{name.upper()}") for name, text in given.items() if text}
    return Options(**{"client_name": CLIENT_NAME, **values})


def overrides(**settings: Unpack[ConnectionSettings]) -> dict[str, Any]:
    """What the arguments change in Options. Raises ValueError for a value that cannot be."""
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    provider = given.pop("credential_provider", None)
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


def _count(least: int) -> Callable[[object, str], int]:
    def read(value: object, name: str) -> int:
        number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ValueError(f"{name} must be a whole number from {least} on, not {value!r}")
        return number

    return read


def _name(value: object, name: str) -> str:
    if not isinstance(value, str) or not all("!" <= character <= "~" for character in value):
        raise ValueError(f"{name} must be printable ASCII without blanks, not {value!r}")
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
"""Those that the environment cannot give, too."""
