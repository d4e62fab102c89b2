"""The peer chuk-sessions: SessionManager of the working tree, another commit, or a published version.

It imports public names only, so that it runs on every version.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from itertools import count, cycle
from pathlib import Path
from typing import Any

import chuk_sessions
from benchmarks.peers.worker import Calls, Peer, main
from chuk_sessions.providers import memory
from chuk_sessions.session_manager import SessionManager

SHORT = {"role": "admin", "department": "engineering", "plan": "pro", "logins": 3}
USERS = 100
PAGES = ("/cart", "/checkout", "/orders", "/profile")
BATCH = 100
TTL = 3600


class Sessions(Peer):
    """chuk-sessions of any version, on a server or, with `memory` as `url`, on the emulator.

    It works on `sessions` sessions of USERS users, with `metadata` additional bytes each.
    """

    package = "chuk-sessions"
    imported_from = str(Path(chuk_sessions.__file__).resolve())

    async def start(self) -> None:
        """Create the managers, a provider session, and the sessions."""
        logging.disable(logging.ERROR)
        self._stack = AsyncExitStack()
        factory = self._factory()
        self._manager = SessionManager(self.options["sandbox"], factory, 24)
        self._session = await self._stack.enter_async_context(factory())
        self.operations = ("allocate", "validate", "read", "merge", "extend", "delete", "get", "setex", "remove")
        if hasattr(self._manager, "increment_session_counter"):
            self._manager_with_interval = SessionManager(
                self.options["sandbox"], factory, 24, touch_interval_seconds=60
            )
            self.operations += ("validate_interval", "increment", "count", "count_user", "list_user")
        if hasattr(self._manager, "load_session"):
            self.operations += ("load",)
        self._metadata = {**SHORT, "blob": "x" * self.options["metadata"]} if self.options.get("metadata") else SHORT
        self._user_numbers = count()
        self._ids = await self._allocate(self.options["sessions"])
        self._created: list[str] = []
        self._keys = [f"low:{number}" for number in range(1000)]
        for key in self._keys:
            await self._session.setex(key, TTL, "value")
        if hasattr(self._manager, "parse_grid_key"):
            self.operations += ("grid", "grid_parse")

    async def stop(self) -> None:
        """Close the managers and the provider session."""
        await self._stack.aclose()
        if hasattr(self._manager, "aclose"):
            await self._manager.aclose()

    def _factory(self) -> Any:
        if self.options["url"] == "memory":
            return memory.factory()
        from chuk_sessions.providers import redis  # noqa: PLC0415  (the emulator needs no Redis packages)

        return redis.factory(self.options["url"])

    async def _allocate(self, number: int) -> list[str]:
        ids: list[str] = []
        for first in range(0, number, BATCH):
            ids += await asyncio.gather(*(self._allocate_one() for _ in range(min(BATCH, number - first))))
        return ids

    def _allocate_one(self) -> Any:
        return self._manager.allocate_session(
            user_id=f"user{next(self._user_numbers) % USERS:06d}", custom_metadata=self._metadata
        )

    async def prepare(self, operation: str, callers: int, seconds: float) -> None:
        """Create sessions for that many seconds, if the operation consumes them."""
        self._created = []
        if operation in ("delete", "extend"):
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                self._created += await self._allocate(BATCH)

    def allocate(self) -> Calls:
        """Create sessions."""
        return (self._allocate_one() for _ in count())

    def validate(self) -> Calls:
        """Validate sessions; every call stores the time of access."""
        return map(self._manager.validate_session, cycle(self._ids))

    def validate_interval(self) -> Calls:
        """Validate sessions; a call stores the time of access at most once a minute."""
        return map(self._manager_with_interval.validate_session, cycle(self._ids))

    def read(self) -> Calls:
        """Read whole sessions."""
        return map(self._manager.get_session_info, cycle(self._ids))

    def load(self) -> Calls:
        """Validate sessions and read their metadata, in one call each."""
        return map(self._manager.load_session, cycle(self._ids))

    def merge(self) -> Calls:
        """Merge one short value into the metadata."""
        update, pages = self._manager.update_session_metadata, cycle([{"last_page": page} for page in PAGES])
        return map(update, cycle(self._ids), pages)

    def increment(self) -> Calls:
        """Increment one counter."""
        return (self._manager.increment_session_counter(session_id, "hits") for session_id in cycle(self._ids))

    def extend(self) -> Calls:
        """Extend the sessions that `prepare` has created, each once, so that operation ids do not accumulate."""
        return (self._manager.extend_session_ttl(session_id, 1) for session_id in self._created)

    def delete(self) -> Calls:
        """Delete the sessions that `prepare` has created, each once."""
        return map(self._manager.delete_session, self._created)

    def count(self) -> Calls:
        """Count the sessions of the sandbox."""
        return (self._manager.count_sessions() for _ in count())

    def count_user(self) -> Calls:
        """Count the sessions of a user."""
        return (self._manager.count_sessions(f"user{number % USERS:06d}") for number in count())

    def list_user(self) -> Calls:
        """List the sessions of a user, with their metadata."""
        return (self._manager.list_user_sessions(f"user{number % USERS:06d}") for number in count())

    def get(self) -> Calls:
        """Get single values."""
        return map(self._session.get, cycle(self._keys))

    def setex(self) -> Calls:
        """Store single values."""
        setex = self._session.setex
        return (setex(key, TTL, "value") for key in cycle(self._keys))

    def remove(self) -> Calls:
        """Delete single values, most of which are already deleted."""
        return map(self._session.delete, cycle(self._keys))

    def grid(self) -> Calls:
        """Build grid paths, without I/O."""
        build = self._manager.generate_artifact_key
        return (_as_awaitable(build, session_id, "artifact-1") for session_id in cycle(self._ids))

    def grid_parse(self) -> Calls:
        """Parse grid paths, without I/O."""
        paths = [self._manager.generate_artifact_key(session_id, "artifact-1") for session_id in self._ids]
        parse = self._manager.parse_grid_key
        return (_as_awaitable(parse, path) for path in cycle(paths))


async def _as_awaitable(function: Any, *args: str) -> None:
    function(*args)


if __name__ == "__main__":
    main(Sessions)
