"""Fixtures of the tests of migrations: a process of the published package, and new managers on the same server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.migration import PublishedSource, ReadThrough
from chuk_sessions.providers import redis
from tests.conftest import BUNDLED
from tests.harness.published import OldProcess, old_process


@pytest.fixture(scope="module")
def old(servers) -> Iterator[OldProcess]:
    """Return a process of the published package, in the sandbox `web`, on the bundled server."""
    with old_process(servers[BUNDLED].url) as process:
        yield process


@pytest.fixture
def new(server):
    """Return a function that creates managers of this version, which read through to the old sessions."""

    def manager(sandbox_id="web", *, source=None, **options):
        factory = redis.factory(server.url)
        migration = ReadThrough(source or PublishedSource(factory))
        return SessionManager(sandbox_id, factory, migration=migration, **options)

    return manager
