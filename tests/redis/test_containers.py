"""The contract on a server in a container. Skipped without Docker, testcontainers or the image.

CHUK_TEST_IMAGE names an image other than `redis:7-alpine`, such as one of Valkey, or one that is already present.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.contract_run import run_contract

IMAGE = os.environ.get("CHUK_TEST_IMAGE", "redis:7-alpine")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Start a server in a container. Return its URL."""
    docker = pytest.importorskip("docker", reason="the package docker, which testcontainers installs, is not installed")
    redis = pytest.importorskip("testcontainers.community.redis", reason="testcontainers is not installed")
    if reason := _docker_error(docker):
        pytest.skip(f"there is no Docker: {reason}")
    try:
        container = redis.RedisContainer(IMAGE).start()
    except docker.errors.DockerException as missing:
        pytest.skip(f"the image {IMAGE} is not available: {missing}")
    try:
        yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
    finally:
        container.stop()


def _docker_error(docker: Any) -> str:
    """Return why Docker does not reply; empty if it does."""
    reason = ""
    with warnings.catch_warnings():
        # Docker's client leaves a socket open if there is no reply.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env(timeout=5)
            client.ping()
            client.close()
        except docker.errors.DockerException as error:
            reason = str(error)
        gc.collect()
    return reason


def test_the_contract_holds(url):
    assert " passed" in run_contract(url)
