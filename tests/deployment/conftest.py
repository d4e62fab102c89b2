"""The deployment that the tests of this folder share."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from tests.conftest import missing
from tests.deployment.services import Deployment, running

PACKAGES = ("aiohttp", "fastapi", "prometheus_client", "rich", "typer", "uvicorn")


@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run the services of the Compose file."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            missing(f"the package {package} is not installed")
    with running(tmp_path_factory.mktemp("deployment")) as deployed:
        yield deployed
