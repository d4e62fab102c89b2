"""Write the dashboard for Grafana and the alert rules for Prometheus, from `panels.py`.

python -m deploy.telemetry.generate
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.telemetry.panels import ALERTS, SECTIONS, Panel

FOLDER = Path(__file__).parent
DASHBOARD = FOLDER / "grafana-dashboard.json"
RULES = FOLDER / "alerts.yml"

_WIDTH, _HEIGHT = 24, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> str:
    """Return the dashboard as JSON."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in SECTIONS.items():
        grid = {"x": 0, "y": top, "w": _WIDTH, "h": 1}
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": grid, "panels": []})
        width = _WIDTH // len(row)
        for place, panel in enumerate(row):
            panels.append(_panel(panel, {"x": place * width, "y": top + 1, "w": width, "h": _HEIGHT}))
        top += 1 + _HEIGHT
    for number, found in enumerate(panels, 1):
        found["id"] = number
    return (
        json.dumps(
            {
                "title": "chuk-sessions",
                "uid": "chuk-sessions",
                "description": "Sessions, the calls to their store, caches, events, and webhooks.",
                "tags": ["chuk-sessions"],
                "schemaVersion": 39,
                "editable": True,
                "refresh": "30s",
                "time": {"from": "now-6h", "to": "now"},
                "templating": {"list": [_datasource(), _job()]},
                "panels": panels,
            },
            indent=1,
        )
        + "\n"
    )


def _panel(panel: Panel, grid: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.help,
        "datasource": _SOURCE,
        "gridPos": grid,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": query.text, "legendFormat": query.legend}
            for place, query in enumerate(panel.queries)
        ],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _job() -> dict[str, Any]:
    return {
        "name": "job",
        "type": "query",
        "label": "Job",
        "datasource": _SOURCE,
        "query": {"query": 'label_values({__name__=~"chuk_sessions_.+"}, job)', "refId": "jobs"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def rules() -> str:
    """Return the alert rules as YAML."""
    lines = [
        "# Alert rules for Prometheus. `python -m deploy.telemetry.generate` writes this file from panels.py.",
        "groups:",
        "  - name: chuk-sessions",
        "    rules:",
    ]
    for alert in ALERTS:
        lines += [
            f"      - alert: {alert.name}",
            f"        expr: {json.dumps(f'{alert.query} > {alert.limit:g}')}",
            f"        for: {alert.wait}",
            "        labels:",
            f"          severity: {alert.severity}",
            "        annotations:",
            f"          summary: {json.dumps(alert.summary)}",
            f"          description: {json.dumps(alert.action)}",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the files."""
    DASHBOARD.write_text(dashboard(), encoding="utf-8")
    RULES.write_text(rules(), encoding="utf-8")


if __name__ == "__main__":
    main()
