"""The dashboard and the alert rules: the files are up to date, and a real Prometheus has data for every query."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from chuk_sessions.telemetry import FAMILIES
from deploy.telemetry import generate
from deploy.telemetry.panels import ALERTS, INTERVAL, SECTIONS
from tests.harness.servers import Server
from tests.telemetry.prometheus import prometheus_binary, promtool_binary, scraped_demo, wait_until

QUERIES = [query.text for row in SECTIONS.values() for panel in row for query in panel.queries]


def test_the_files_are_up_to_date():
    assert generate.DASHBOARD.read_text() == generate.dashboard()
    assert generate.RULES.read_text() == generate.rules()


def test_every_family_is_on_the_dashboard():
    text = " ".join(QUERIES) + " ".join(alert.query for alert in ALERTS)
    names = [family.prometheus_name for family in FAMILIES.values()]
    assert [name for name in names if not re.search(rf"\b{name}(_bucket)?\b", text)] == []


def test_every_metric_on_the_dashboard_is_exported():
    used = set(re.findall(r"chuk_sessions_\w+", " ".join(QUERIES) + " ".join(alert.query for alert in ALERTS)))
    exported = {family.prometheus_name for family in FAMILIES.values()}
    assert {name.removesuffix("_bucket") for name in used} <= exported


def test_panels_do_not_overlap():
    panels = json.loads(generate.dashboard())["panels"]
    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_promtool_accepts_the_rules():
    promtool = promtool_binary()
    if promtool is None:
        pytest.skip("promtool is not installed; it is in Debian's package prometheus")
    done = subprocess.run(
        [promtool, "check", "rules", str(generate.RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


def test_every_query_returns_data(own_server: Server, tmp_path: Path):
    if prometheus_binary() is None:
        pytest.skip("Prometheus is not installed; it is in Debian's package prometheus")
    queries = [query.replace(INTERVAL, "5s").replace("$job", ".+") for query in QUERIES]
    queries += [alert.query for alert in ALERTS]
    with scraped_demo(own_server.url, tmp_path, "250ms") as prometheus:

        def all_have_data() -> bool:
            empty[:] = [query for query in empty if not prometheus.values(query)]
            return not empty

        def what_is_missing() -> str:
            return "\n".join([*empty, *(path.read_text()[-3000:] for path in tmp_path.glob("*.log"))])

        empty = list(queries)
        wait_until(all_have_data, 40, what_is_missing)
        groups = prometheus.get("rules")["groups"]
        assert {rule["name"] for group in groups for rule in group["rules"]} == {alert.name for alert in ALERTS}
        assert [rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")] == []


UNIT_TEST = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - name: fresh and idle processes
    interval: 1m
    input_series:
      - series: 'chuk_sessions_calls_total{{job="shop", operation="validate", outcome="ok"}}'
        values: "0x60"
      - series: 'chuk_sessions_calls_total{{job="shop", operation="validate", outcome="unavailable"}}'
        values: "0x60"
      - series: 'chuk_sessions_call_duration_seconds_bucket{{job="shop", operation="validate", le="+Inf"}}'
        values: "0x60"
      - series: 'chuk_sessions_cache_managers{{job="shop", state="unused"}}'
        values: "1x60"
      - series: 'chuk_sessions_cache_managers{{job="shop", state="off"}}'
        values: "0x60"
      - series: 'chuk_sessions_webhook_attempts_total{{job="relay", result="failed"}}'
        values: "0x60"
    alert_rule_test:
{quiet}
  - name: a restart of the server
    interval: 1m
    input_series:
      - series: 'chuk_sessions_reconnects_total{{job="shop", instance="a"}}'
        values: "0 0 8x60"
      - series: 'chuk_sessions_reconnects_total{{job="shop", instance="b"}}'
        values: "0 0 8x60"
    alert_rule_test:
      - eval_time: 5m
        alertname: SessionReconnects
        exp_alerts: []
  - name: a relay that has stopped
    interval: 1m
    input_series:
      - series: 'chuk_sessions_survey_timestamp_seconds{{job="relay"}}'
        values: "0+60x5 stale"
    promql_expr_test:
      - expr: ALERTS{{alertname="SessionSurveyMissing", alertstate="firing"}}
        eval_time: 4m
        exp_samples: []
      - expr: ALERTS{{alertname="SessionSurveyMissing", alertstate="firing"}}
        eval_time: 30m
        exp_samples:
          - labels: ALERTS{{alertname="SessionSurveyMissing", alertstate="firing", severity="warning"}}
            value: 1
"""


def test_alerts_are_silent_on_an_idle_system_and_notice_a_relay_that_has_stopped(tmp_path: Path):
    promtool = promtool_binary()
    if promtool is None:
        pytest.skip("promtool is not installed; it is in Debian's package prometheus")
    quiet = "\n".join(f"      - {{eval_time: 30m, alertname: {alert.name}, exp_alerts: []}}" for alert in ALERTS)
    tests = tmp_path / "tests.yml"
    tests.write_text(UNIT_TEST.format(rules=generate.RULES, quiet=quiet))
    done = subprocess.run([promtool, "test", "rules", str(tests)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
