"""The configuration of Prometheus and Grafana."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deployment.files import DEPLOY, compose, yaml


def mounted(service: str) -> dict[Path, str]:
    """Return the files that a service gets from the repository, and their paths in its container."""
    volumes = [volume.split(":") for volume in compose()["services"][service]["volumes"] if volume.startswith("./")]
    return {DEPLOY / source: target for source, target, _ in volumes if (DEPLOY / source).is_file()}


def test_prometheus_accepts_its_configuration_with_the_rules(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    for source, target in mounted("prometheus").items():
        text = source.read_text(encoding="utf-8").replace("/etc/prometheus", str(tmp_path))
        (tmp_path / target.rpartition("/")[2]).write_text(text, encoding="utf-8")
    command = [promtool, "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


def test_prometheus_scrapes_the_services():
    scrapes = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    targets = {target for scrape in scrapes for group in scrape["static_configs"] for target in group["targets"]}
    services = compose()["services"]
    assert targets == {"shop:8000", "relay:9464"}
    assert all(str(services[name]["command"]).count(port) for name, port in (one.split(":") for one in targets))


def test_grafana_finds_the_dashboard_and_its_source():
    folder = DEPLOY / "grafana" / "provisioning"
    [source] = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text(encoding="utf-8"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((folder / "dashboards/sessions.yaml").read_text(encoding="utf-8"))["providers"]
    dashboards = [path for path, target in mounted("grafana").items() if target.startswith(provider["options"]["path"])]
    assert [bool(json.loads(path.read_text(encoding="utf-8"))["panels"]) for path in dashboards] == [True]
