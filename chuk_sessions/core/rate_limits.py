"""Rate limits: the generic cell rate algorithm (GCRA), and the operation that applies it.

The algorithm is that of ITU-T Recommendation I.371 in its form of virtual scheduling. A limit is one number, the
theoretical arrival time: the earliest time at which the next request arrives if all requests keep the rate. Each
request moves it by the interval between requests. A request is refused if it would move that time further into the
future than a burst may; it then changes nothing. The result has the parts of redis-cell's reply.

The number has the unit of 10 µs since 1970, which fits into 15 digits until the year 2286.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from ..models import RateLimit
from . import statuses as s
from .durations import MAX_MS, ms_from_seconds
from .keys import SessionKeys
from .operation import Call, Operation, Reply, names
from .operation_ids import ONCE_WINDOW_MS
from .validation import positive

PREFIX: Final = b"l:"
MAX_NAME_LENGTH: Final = 128

_UNITS_PER_MS: Final = 100
_UNITS_PER_SECOND: Final = 1000 * _UNITS_PER_MS
_MAX_ROUNDING: Final = 1.01

RATE_LIMIT = Operation(
    "rate_limit",
    names("session operations"),
    names("field cost capacity limit operation window"),
    s.ONE_SESSION | {s.OK, s.CEILING, s.TOO_LARGE},
    operation_id_arg="operation",
)


class Rate(NamedTuple):
    """The parameters of a request to a rate limit, in units of 10 µs.

    Attributes:
        interval: between two requests at the highest lasting rate.
        capacity: of a burst: the interval times the requests that may come at once.
        cost: of this request: the interval times the requests that it counts as.

    """

    interval: int
    capacity: int
    cost: int

    def result(self, reply: Reply) -> RateLimit | None:
        """Return the result for a reply; None when there is no such session.

        Times are rounded up to whole ms, the resolution of the server's clock, so that waiting for them is enough.
        """
        if reply[0] == s.GONE:
            return None
        allowed, backlog = reply[0] == s.OK, reply[1]
        remaining = max(0, self.capacity - backlog) // self.interval
        wait = 0 if allowed else backlog + self.cost - self.capacity
        return RateLimit(allowed, remaining, _seconds(wait), _seconds(backlog))


def field_of(name: object) -> bytes:
    """Return the record field of a rate limit.

    Raises:
        ValueError: the name is not a string of 1 to 128 characters.

    """
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_LENGTH:
        raise ValueError(f"the name of a rate limit must be a string of 1 to {MAX_NAME_LENGTH} characters")
    return PREFIX + name.encode("utf-8", "surrogatepass")


def rate(limit: object, per_seconds: float, burst: object, cost: object) -> Rate:
    """Return the parameters for `limit` requests per period, of which `burst` may come at once (None: all).

    The interval is rounded up to a whole unit, so the rate is never too high.

    Raises:
        ValueError: an argument is malformed, a request costs more than a burst, a burst takes more than a hundred years
            to reset, or rounding the interval would change it by more than 1%.

    """
    requests = positive(limit, "limit")
    ms_from_seconds(per_seconds, "per_seconds")
    most = requests if burst is None else positive(burst, "burst")
    counted = positive(cost, "cost")
    if counted > most:
        raise ValueError("cost must not be higher than the burst: such a request would never be allowed")
    exact = round(per_seconds * _UNITS_PER_SECOND / requests, 6)
    interval = math.ceil(exact)
    if interval < 1 or interval > exact * _MAX_ROUNDING:
        raise ValueError(
            f"{requests} requests per {per_seconds} s are too many: "
            "unless their interval is a multiple of 10 µs, it must be at least 1 ms"
        )
    if most * interval > MAX_MS * _UNITS_PER_MS:
        raise ValueError("a burst must not take more than a hundred years to reset")
    return Rate(interval, most * interval, counted * interval)


def rate_limit(target: SessionKeys, *, field: bytes, rate: Rate, operation_id: bytes, limit: int) -> Call:
    """Count a request, unless that would exceed the rate limit. `limit` is the most bytes of the session."""
    keys = (target.record, target.operations) if operation_id else (target.record,)
    return Call(RATE_LIMIT, keys, (field, rate.cost, rate.capacity, limit, operation_id, ONCE_WINDOW_MS))


def _seconds(units: int) -> float:
    return math.ceil(units / _UNITS_PER_MS) / 1000
