"""The contract on a server in a container. Skipped where there is no Docker, no testcontainers or no image.

CHUK_TEST_IMAGE names another image than `redis:7-alpine`: one of Valkey, say, or one that is there already.
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
    """Of a server in a container of its own."""
    docker = pytest.importorskip("docker", reason="the package docker, which testcontainers brings, is not installed")
    redis = pytest.importorskip("testcontainers.community.redis", reason="testcontainers is not installed")
    if trouble := _trouble_with_docker(docker):
        pytest.skip(f"there is no Docker: {trouble}")
    try:
        container = redis.RedisContainer(IMAGE).start()
    except docker.errors.DockerException as missing:
        pytest.skip(f"the image {IMAGE} is not to be had: {missing}")
    try:
        yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
    finally:
        container.stop()


def _trouble_with_docker(docker: Any) -> str:
    """Why Docker does not answer; empty when it does."""
    trouble = ""
    with warnings.catch_warnings():
        # Its client leaves a socket open when nobody answers.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env(timeout=5)
            client.ping()
            client.close()
        except docker.errors.DockerException as error:
            trouble = str(error)
        gc.collect()
    return trouble


def test_the_contract_holds(url):
    assert " passed" in run_contract(url)
