"""The files in deploy/, read as Compose and Kubernetes read them."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from tests.harness.children import ROOT

yaml = pytest.importorskip("yaml", reason="the package pyyaml is not installed")

DEPLOY = ROOT / "deploy"


def compose() -> dict[str, Any]:
    """Return the Compose file."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return found


def manifests() -> list[dict[str, Any]]:
    """Return the resources that the kustomization names, in its order, without those that it generates."""
    folder = DEPLOY / "kubernetes"
    names = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    files = [folder / name for name in names if name.endswith(".yaml")]
    return [one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def manifest(kind: str, name: str) -> dict[str, Any]:
    """Return one resource."""
    [found] = [one for one in manifests() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def container(kind: str, name: str, container: str | None = None) -> dict[str, Any]:
    """Return a container of a workload; by default, the first."""
    pod = manifest(kind, name)["spec"]["template"]["spec"]
    found: dict[str, Any] = next(one for one in pod["containers"] if container in (None, one["name"]))
    return found


def variables(container: dict[str, Any], **values: str) -> dict[str, str]:
    """Return the environment of a container. `$(NAME)` becomes the value of an earlier variable, or one given here."""
    found = dict(values)
    for entry in container["env"]:
        text = entry.get("value", found.get(entry["name"], ""))
        for name, value in found.items():
            text = text.replace(f"$({name})", value)
        found[entry["name"]] = text
    return found


def entrypoint() -> list[str]:
    """Return the entry point of the image."""
    return _instruction("ENTRYPOINT")


def _instruction(name: str) -> list[str]:
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    [line] = [line for line in lines if line.startswith(f"{name} [")]
    words: list[str] = yaml.safe_load(line.removeprefix(name))
    return words


def words(command: str | list[str]) -> list[str]:
    """Return the words of a command, which files may write as text or as a list."""
    return shlex.split(command) if isinstance(command, str) else list(command)
