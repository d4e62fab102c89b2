"""A pytest plugin for FastMCP's tests: this library's store replaces the MemoryStore of py-key-value-aio."""

from __future__ import annotations

import itertools

from key_value.aio.stores import memory

from chuk_sessions import factory_for_env
from chuk_sessions.integrations.key_value import ChukStore

FACTORY = factory_for_env()
NUMBERS = itertools.count()


class SuiteStore(ChukStore):
    """A store with a sandbox of its own. All share their connections."""

    def __init__(self, *, default_collection: str | None = None, max_entries_per_collection: int | None = None) -> None:
        sandbox_id = f"suite-{next(NUMBERS)}"
        super().__init__(session_factory=FACTORY, sandbox_id=sandbox_id, default_collection=default_collection)


memory.MemoryStore = SuiteStore  # type: ignore[misc, assignment]
