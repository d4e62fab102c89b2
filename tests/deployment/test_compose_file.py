"""The Compose file is valid, and each service is confined."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.files import DEPLOY, compose
from tests.harness.children import ROOT

SERVICES = compose()["services"]
OWN = ("shop", "relay", "operator")


def compose_command() -> list[str]:
    """Return the command of Compose: the plugin of Docker, or the program alone."""
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    program = shutil.which("docker-compose", path=path)
    if program is None:
        pytest.skip("neither `docker compose` nor docker-compose is installed")
    return [program]


def test_compose_accepts_the_file():
    command = [*compose_command(), "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_confined(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service
    assert "healthcheck" in service or name == "operator"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    if name not in OWN:
        assert re.search(r":v?\d", service["image"]), "the version is not pinned"


def test_files_and_secrets_of_services_exist():
    script = (DEPLOY / "create_secrets.sh").read_text(encoding="utf-8")
    for service in SERVICES.values():
        mounted = [volume.partition(":")[0] for volume in service.get("volumes", ()) if volume.startswith(".")]
        assert [name for name in mounted if not (DEPLOY / name).exists()] == []
        assert [name for name in service.get("secrets", ()) if name not in script] == []
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_image_runs_without_root_and_gets_each_file_that_it_copies():
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER (?!0)\d+:\d+$", dockerfile, re.M)
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.M)) == {"python:3.13-slim"}
    copied = [name for words in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.M) for name in words.split()]
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert [name for name in copied if not (ROOT / name).exists() or f"!{name}" not in allowed] == []
