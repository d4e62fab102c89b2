"""A fixture that runs a token service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.token_service import TokenService, token_service
from tests.harness.servers import Server


@pytest.fixture
def service(own_server: Server) -> Iterator[TokenService]:
    """Run a token service for the server."""
    with token_service(own_server) as running_service:
        yield running_service
