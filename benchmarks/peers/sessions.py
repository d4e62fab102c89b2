"""SessionManager of whichever chuk-sessions can be imported: this one, or a published one."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from itertools import count, cycle
from typing import Any

from benchmarks.peers.worker import Calls, Peer, main
from chuk_sessions.providers import memory
from chuk_sessions.session_manager import SessionManager

SHORT = {"role": "admin", "department": "engineering", "plan": "pro", "logins": 3}
USERS = 100
PAGES = ("/cart", "/checkout", "/orders", "/profile")
BATCH = 100
TTL = 3600


class Sessions(Peer):
    """`url` may be `memory`. The pool has `sessions` sessions of USERS users, with `metadata` more bytes each."""

    package = "chuk-sessions"

    async def start(self) -> None:
        """Make the managers, a provider session, and the pool."""
        logging.disable(logging.ERROR)
        self._stack = AsyncExitStack()
        factory = self._factory()
        self._manager = SessionManager(self.options["sandbox"], factory, 24)
        self._session = await self._stack.enter_async_context(factory())
        self.operations = ("allocate", "validate", "read", "merge", "extend", "delete", "get", "setex", "remove")
        if hasattr(self._manager, "increment_session_counter"):
            self._lazy = SessionManager(self.options["sandbox"], factory, 24, touch_interval_seconds=60)
            self.operations += ("validate_interval", "increment", "count", "count_user", "list_user")
        self._metadata = {**SHORT, "blob": "x" * self.options["metadata"]} if self.options.get("metadata") else SHORT
        self._numbers = count()
        self._ids = await self._allocate(self.options["sessions"])
        self._stock: list[str] = []
        self._keys = [f"low:{number}" for number in range(1000)]
        for key in self._keys:
            await self._session.setex(key, TTL, "value")
        if hasattr(self._manager, "parse_grid_key"):
            self.operations += ("grid", "grid_parse")

    async def stop(self) -> None:
        """Close."""
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
            ids += await asyncio.gather(*(self._new() for _ in range(min(BATCH, number - first))))
        return ids

    def _new(self) -> Any:
        return self._manager.allocate_session(
            user_id=f"user{next(self._numbers) % USERS:06d}", custom_metadata=self._metadata
        )

    async def prepare(self, operation: str, callers: int, seconds: float) -> None:
        """To delete or extend, each once: as many sessions as can be made in that time."""
        self._stock = []
        if operation in ("delete", "extend"):
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                self._stock += await self._allocate(BATCH)

    def allocate(self) -> Calls:
        """New sessions."""
        return (self._new() for _ in count())

    def validate(self) -> Calls:
        """Each marks the access."""
        return map(self._manager.validate_session, cycle(self._ids))

    def validate_interval(self) -> Calls:
        """Few mark the access."""
        return map(self._lazy.validate_session, cycle(self._ids))

    def read(self) -> Calls:
        """Whole sessions."""
        return map(self._manager.get_session_info, cycle(self._ids))

    def merge(self) -> Calls:
        """One short value."""
        update, pages = self._manager.update_session_metadata, cycle([{"last_page": page} for page in PAGES])
        return map(update, cycle(self._ids), pages)

    def increment(self) -> Calls:
        """One counter."""
        return (self._manager.increment_session_counter(session_id, "hits") for session_id in cycle(self._ids))

    def extend(self) -> Calls:
        """Each of what `prepare` has made, once: operation ids do not pile up."""
        return (self._manager.extend_session_ttl(session_id, 1) for session_id in self._stock)

    def delete(self) -> Calls:
        """What `prepare` has made."""
        return map(self._manager.delete_session, self._stock)

    def count(self) -> Calls:
        """All of the sandbox."""
        return (self._manager.count_sessions() for _ in count())

    def count_user(self) -> Calls:
        """One user's."""
        return (self._manager.count_sessions(f"user{number % USERS:06d}") for number in count())

    def list_user(self) -> Calls:
        """One user's, with their metadata."""
        return (self._manager.list_user_sessions(f"user{number % USERS:06d}") for number in count())

    def get(self) -> Calls:
        """Single values."""
        return map(self._session.get, cycle(self._keys))

    def setex(self) -> Calls:
        """Single values."""
        set_ = self._session.setex
        return (set_(key, TTL, "value") for key in cycle(self._keys))

    def remove(self) -> Calls:
        """Single values, most of them gone already."""
        return map(self._session.delete, cycle(self._keys))

    def grid(self) -> Calls:
        """Paths; no I/O."""
        make = self._manager.generate_artifact_key
        return (_soon(make, session_id, "artifact-1") for session_id in cycle(self._ids))

    def grid_parse(self) -> Calls:
        """Paths, taken apart."""
        paths = [self._manager.generate_artifact_key(session_id, "artifact-1") for session_id in self._ids]
        parse = self._manager.parse_grid_key
        return (_soon(parse, path) for path in cycle(paths))


async def _soon(function: Any, *args: str) -> None:
    function(*args)


if __name__ == "__main__":
    main(Sessions)
