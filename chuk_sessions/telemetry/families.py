"""The families of metrics: names, kinds, labels, and help. docs/telemetry.md shows this table."""

from __future__ import annotations

from typing import Final, NamedTuple

PREFIX: Final = "chuk_sessions_"

BOUNDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the buckets of durations, in seconds."""


class Family(NamedTuple):
    """A family of metrics.

    Attributes:
        name: the name without prefix and, for a counter, without `_total`.
        kind: counter, gauge, or histogram.
        labels: names of the labels.
        help: a description.
        unit: the unit as OpenTelemetry writes it.
        combine: how figures with the same labels become one: their sum, or their max.

    """

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    unit: str
    combine: str = "sum"

    @property
    def prometheus_name(self) -> str:
        """The name in Prometheus."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"

    @property
    def opentelemetry_name(self) -> str:
        """The name in OpenTelemetry, which has the unit in a field of its own."""
        return f"chuk_sessions.{self.name.removesuffix('_seconds')}"


CALLS: Final = "calls"
DURATION: Final = "call_duration_seconds"
ENDED: Final = "sessions_ended"
UNKNOWN: Final = "outcomes_unknown"

FAMILIES: Final = {
    family.name: family
    for family in (
        Family(CALLS, "counter", ("operation", "outcome"), "Calls to the store that are over.", "{call}"),
        Family(DURATION, "histogram", ("operation",), "Time of calls, with all retries.", "s"),
        Family("calls_in_flight", "gauge", (), "Calls that have been sent and wait for their reply.", "{call}"),
        Family("calls_waiting", "gauge", (), "Calls that wait because the in-flight limit is reached.", "{call}"),
        Family("connections", "gauge", (), "Open connections.", "{connection}"),
        Family("reconnects", "counter", (), "Lost connections that were replaced.", "{connection}"),
        Family("retries", "counter", (), "Repeated attempts at calls.", "{attempt}"),
        Family(UNKNOWN, "counter", (), "Calls that may or may not have been applied.", "{call}"),
        Family(ENDED, "counter", ("reason",), "Sessions that calls of this process have ended.", "{session}"),
        Family("cache_hits", "counter", (), "Calls that were answered from memory.", "{call}"),
        Family("cache_misses", "counter", (), "Calls that the cache could not answer.", "{call}"),
        Family("cache_joined", "counter", (), "Calls that shared the read of another call.", "{call}"),
        Family("cache_invalidations", "counter", (), "Sessions that were dropped after a change.", "{session}"),
        Family("cache_flushes", "counter", (), "Connections whose sessions were all dropped.", "{flush}"),
        Family("cache_evictions", "counter", (), "Sessions that were dropped from a full cache.", "{session}"),
        Family("cache_sessions", "gauge", (), "Sessions in memory.", "{session}"),
        Family("cache_managers", "gauge", ("state",), "Managers with a cache, by its state.", "{manager}"),
        Family("cache_staleness_seconds", "gauge", (), "Age that a session from memory can have now.", "s", "max"),
        Family("cache_max_staleness_seconds", "gauge", (), "Limit of that age.", "s", "max"),
        Family("encryption_keys", "gauge", ("key", "role"), "1 for each key that is available.", "1", "max"),
        Family("encryption_key_uses", "counter", ("key",), "Derivations of a session's key.", "{derivation}"),
        Family("webhook_attempts", "counter", ("result",), "Attempts to deliver messages.", "{attempt}"),
        Family("webhooks_disabled", "counter", ("reason",), "Endpoints that this relay disabled.", "{endpoint}"),
        Family("webhook_endpoints", "gauge", ("state",), "Endpoints in the store.", "{endpoint}", "max"),
        Family("live_sessions", "gauge", ("sandbox",), "Live sessions in the store.", "{session}", "max"),
        Family("oldest_unswept_seconds", "gauge", (), "Time since the oldest unswept session expired.", "s", "max"),
        Family("event_lag_events", "gauge", ("reader",), "Events that the reader has yet to read.", "{event}", "max"),
        Family("event_lag_seconds", "gauge", ("reader",), "Age of the oldest of those.", "s", "max"),
        Family("events_lost", "counter", ("reader",), "Events dropped before they were read.", "{event}", "max"),
        Family("survey_timestamp_seconds", "gauge", (), "Time of the latest survey of the store.", "s", "max"),
    )
}
"""All families by name."""
