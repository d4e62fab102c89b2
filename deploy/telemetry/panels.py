"""The panels of the dashboard, and the alerts: all queries are here."""

from __future__ import annotations

from typing import NamedTuple

INTERVAL = "$__rate_interval"
"""Grafana replaces this by a range of at least four scrapes."""

JOB = 'job=~"$job"'
FAILED = 'outcome=~"unavailable|timeout|outcome_unknown|store_full|error"'


def rate(name: str, labels: str = "", by: str = "") -> str:
    """Return the query of the increase per second of a counter."""
    inner = f"rate(chuk_sessions_{name}{{{', '.join(filter(None, (labels, JOB)))}}}[{INTERVAL}])"
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


def gauge(name: str, by: str = "", combine: str = "sum") -> str:
    """Return the query of a gauge. Figures of a whole store are combined by `max`, because each relay has them."""
    return f"{combine}{f' by ({by})' if by else ''} (chuk_sessions_{name}{{{JOB}}})"


def quantile(share: float) -> str:
    """Return the query of a quantile of the latency."""
    return f"histogram_quantile({share}, {rate('call_duration_seconds_bucket', by='le')})"


class Query(NamedTuple):
    """A query and the name of its lines."""

    legend: str
    text: str


class Panel(NamedTuple):
    """A panel of the dashboard. The unit is one of Grafana's."""

    title: str
    unit: str
    help: str
    queries: tuple[Query, ...]


class Alert(NamedTuple):
    """An alert: it fires when `query` has been above `limit` for a while."""

    name: str
    query: str
    limit: float
    wait: str
    severity: str
    summary: str
    action: str


_ALL_READS = f"{rate('cache_hits_total')} + {rate('cache_misses_total')} + {rate('cache_joined_total')}"

SECTIONS: dict[str, tuple[Panel, ...]] = {
    "Calls": (
        Panel("Calls", "ops", "Calls to the store by operation.",
              (Query("{{operation}}", rate("calls_total", by="operation")),)),
        Panel("Latency", "s", "Time of a call, with all retries.",
              tuple(Query(f"p{share * 100:g}", quantile(share)) for share in (0.5, 0.95, 0.99))),
        Panel("Failed calls", "ops", "Calls that raised an error. Every line should be at zero.",
              (Query("{{outcome}}", rate("calls_total", FAILED, by="outcome")),)),
        Panel("Checks", "ops", "Answers to checks of sessions. Many that are gone may be expired cookies, or guesses.",
              (Query("{{outcome}}", rate("calls_total", 'operation=~"validate|load", outcome=~"ok|gone|moved"',
                                         by="outcome")),)),
    ),
    "Connections": (
        Panel("In flight", "short", "Calls that wait for a reply, and those that wait for the in-flight limit.",
              (Query("in flight", gauge("calls_in_flight")), Query("waiting", gauge("calls_waiting")))),
        Panel("Connections", "short", "Open connections.", (Query("open", gauge("connections")),)),
        Panel("Disturbances", "ops", "Lost connections, repeated attempts, and calls that may have been applied.",
              (Query("reconnects", rate("reconnects_total")), Query("retries", rate("retries_total")),
               Query("outcome unknown", rate("outcomes_unknown_total")))),
    ),
    "Sessions": (
        Panel("Live sessions", "short", "Live sessions of the sandboxes that the relay counts.",
              (Query("{{sandbox}}", gauge("live_sessions", "sandbox", "max")),)),
        Panel("Ended sessions", "ops", "Sessions that calls have ended, by reason.",
              (Query("{{reason}}", rate("sessions_ended_total", by="reason")),)),
        Panel("Oldest unswept session", "s", "Time since it expired. It grows if no relay or sweeper runs.",
              (Query("age", gauge("oldest_unswept_seconds", combine="max")),)),
    ),
    "Local cache": (
        Panel("Hit ratio", "percentunit", "Share of reads that were answered from memory.",
              (Query("hits", f"{rate('cache_hits_total')} / ({_ALL_READS})"),)),
        Panel("Staleness", "s", "Age that a session from memory can have now, and the limit.",
              (Query("now", gauge("cache_staleness_seconds", combine="max")),
               Query("limit", gauge("cache_max_staleness_seconds", combine="max")))),
        Panel("Dropped sessions", "ops", "Sessions that left the cache, and flushes of a whole connection.",
              tuple(Query(name, rate(f"cache_{name}_total")) for name in ("invalidations", "evictions", "flushes"))),
        Panel("Cached sessions", "short", "Sessions in memory, and managers by the state of their cache.",
              (Query("sessions", gauge("cache_sessions")), Query("managers: {{state}}",
                                                                   gauge("cache_managers", "state")))),
    ),
    "Events and webhooks": (
        Panel("Lag of readers", "s", "Age of the oldest event that the reader has not acknowledged.",
              (Query("{{reader}}", gauge("event_lag_seconds", "reader", "max")),)),
        Panel("Unread events", "short", "Events that the reader has not acknowledged, and those that it has lost.",
              (Query("{{reader}}", gauge("event_lag_events", "reader", "max")),
               Query("{{reader}} lost", gauge("events_lost_total", "reader", "max")))),
        Panel("Webhook attempts", "ops", "Attempts to deliver a message, by result.",
              (Query("{{result}}", rate("webhook_attempts_total", by="result")),)),
        Panel("Webhook endpoints", "short", "Endpoints by state, and those that were disabled.",
              (Query("{{state}}", gauge("webhook_endpoints", "state", "max")),
               Query("disabled now: {{reason}}", rate("webhooks_disabled_total", by="reason")))),
    ),
    "Encryption": (
        Panel("Keys in use", "ops", "Sessions whose key was derived. An old key at zero is no longer needed here.",
              (Query("{{key}}", rate("encryption_key_uses_total", by="key")),)),
        Panel("Keys", "short", "Processes that have each key.",
              (Query("{{key}} ({{role}})", gauge("encryption_keys", "key, role")),)),
    ),
}  # fmt: skip


def _plain(query: str, interval: str) -> str:
    """Return a query for a rule, which has no variables, by job."""
    return query.replace(f", {JOB}", "").replace(f"{{{JOB}}}", "").replace(INTERVAL, interval)


_UNAVAILABLE = _plain(rate("calls_total", 'outcome=~"unavailable|timeout"', by="job"), "5m")
_ATTEMPTS = _plain(rate("webhook_attempts_total", by="job"), "15m")
_FAILED_ATTEMPTS = _plain(rate("webhook_attempts_total", 'result="failed"', by="job"), "15m")
_CALLS = _plain(rate("calls_total", by="job"), "5m")

ALERTS: tuple[Alert, ...] = (
    Alert("SessionCallsFail",
          f"{_UNAVAILABLE} / {_CALLS}", 0.01,
          "2m", "critical", "More than 1 % of the calls to the session store fail.",
          "Look at the log for the server that was lost, and run `chuk-sessions doctor`."),
    Alert("SessionStoreFull", _plain(rate("calls_total", 'outcome="store_full"', by="job"), "5m"), 0,
          "0m", "critical", "The session store is at its memory limit and refuses new sessions.",
          "Raise maxmemory, or let fewer sessions live as long."),
    Alert("SessionOutcomesUnknown", "sum by (job) (increase(chuk_sessions_outcomes_unknown_total[10m]))", 0,
          "0m", "warning", "Calls lost their reply and could not be repeated.",
          "Their callers got OutcomeUnknownError. Look at the network and at failovers."),
    Alert("SessionCallsSlow", _plain(
        f"histogram_quantile(0.99, {rate('call_duration_seconds_bucket', by='job, le')})", "5m"), 0.1,
          "10m", "warning", "One of 100 calls to the session store takes more than 100 ms.",
          "Look at the server's CPU and SLOWLOG, and at the network."),
    Alert("SessionCallsWait", "sum by (job, instance) (avg_over_time(chuk_sessions_calls_waiting[5m]))", 1,
          "5m", "warning", "Calls wait because the in-flight limit is reached.",
          "The server is slower than the load. Raise max_in_flight only if it has CPU to spare."),
    Alert("SessionReconnects", "max by (job) (increase(chuk_sessions_reconnects_total[10m]))", 10,
          "0m", "warning", "Connections to the session store break again and again.",
          "Look at the log for the reason. Firewalls may close idle connections."),
    Alert("SessionCacheOff", 'sum by (job) (chuk_sessions_cache_managers{state="off"})', 0,
          "10m", "warning", "A local cache does not work, so each call asks the store.",
          "`get_cache_stats()` says why."),
    Alert("SessionsUnswept", "max by (job) (chuk_sessions_oldest_unswept_seconds)", 300,
          "5m", "warning", "Expired sessions are not swept.", "Start a relay or a sweeper."),
    Alert("SessionSurveyMissing", "time() - max(max_over_time(chuk_sessions_survey_timestamp_seconds[1d]))", 120,
          "1m", "warning", "No relay reports about the session store.", "Start a relay with --metrics-port."),
    Alert("SessionEventsLag", "max by (reader) (chuk_sessions_event_lag_seconds)", 60,
          "5m", "warning", "The reader {{ $labels.reader }} is behind.",
          "Start more processes of this reader. For webhooks, start a relay, or repair or remove disabled endpoints."),
    Alert("SessionEventsLost", "max by (reader) (increase(chuk_sessions_events_lost_total[15m]))", 0,
          "0m", "critical", "The reader {{ $labels.reader }} has lost events.",
          "It was too slow for max_events. Raise the limit, or remove readers that no process uses."),
    Alert("SessionWebhooksFail",
          f"{_FAILED_ATTEMPTS} / {_ATTEMPTS}", 0.5,
          "15m", "warning", "Most attempts to deliver webhooks fail.", "Look at the relay's log for the endpoints."),
    Alert("SessionWebhookDisabled", 'max(chuk_sessions_webhook_endpoints{state="disabled"})', 0,
          "0m", "warning", "A webhook endpoint is disabled.",
          "Ask its owner to repair it, then enable it again. Its messages wait as dead letters."),
)  # fmt: skip
