"""The configuration of Prometheus and Grafana."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.deployment.files import DEPLOY, compose, yaml


def test_prometheus_accepts_its_configuration_with_the_rules(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    for path in (DEPLOY / "prometheus").glob("*.yml"):
        text = path.read_text(encoding="utf-8").replace("/etc/prometheus", str(tmp_path))
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    command = [promtool, "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_the_services():
    scrapes = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    targets = {target for scrape in scrapes for group in scrape["static_configs"] for target in group["targets"]}
    services = compose()["services"]
    assert targets == {"shop:8000", "relay:9464"}
    assert all(str(services[name]["command"]).count(port) for name, port in (one.split(":") for one in targets))


def test_grafana_loads_dashboards_that_use_its_source():
    folder = DEPLOY / "grafana"
    [source] = yaml.safe_load((folder / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    dashboards = list((folder / "dashboards").glob("*.json"))
    assert dashboards
    for path in dashboards:
        sources = {
            str(panel["datasource"]["uid"])
            for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
            if "datasource" in panel
        }
        assert sources <= {source["uid"], "$datasource", "${datasource}"}
