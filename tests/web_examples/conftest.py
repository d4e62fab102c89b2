"""Fixtures of the shops. One shop is open at a time; all use one server, which keeps what it has acknowledged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import bundled, missing
from tests.harness import servers
from tests.harness.servers import Server
from tests.web_examples.shops import SHOPS, Site, open_shop

PERSISTENT = ["--appendonly", "yes", "--appendfsync", "always"]


@pytest.fixture(scope="package")
def store() -> Iterator[Server]:
    """Run a server that loses nothing that it has acknowledged."""
    with servers.running(bundled(), *PERSISTENT) as server:
        yield server


@pytest.fixture
def mortal_store(store: Server) -> Iterator[Server]:
    """Return the server for a test that kills it, and start it again if that test has failed."""
    yield store
    assert store.process is not None
    if store.process.poll() is not None:
        store.restart()


@pytest.fixture(scope="package", params=SHOPS, ids=lambda shop: shop.name)
def site(request: pytest.FixtureRequest, store: Server) -> Iterator[Site]:
    """Run each shop in turn."""
    with open_shop(request.param, store) as site:
        yield site


@pytest.fixture
async def crowd(site: Site) -> AsyncIterator[object]:
    """Return a source of devices that visit the shop."""
    try:
        from tests.web_examples import visitors
    except ImportError:
        missing("the package aiohttp is not installed")
    async with visitors.crowd(site.url, site.shop.token_cookie) as crowd:
        yield crowd
        site.secrets.update(crowd.session_ids())
