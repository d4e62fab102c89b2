"""The peer chuk-sessions for synchronous code.

With the option `hop` it measures the plain way to call asynchronous code from threads, for comparison:
`asyncio.run_coroutine_threadsafe` on an event loop in another thread.
"""

from __future__ import annotations

import asyncio
from itertools import cycle
from pathlib import Path
from threading import Thread
from typing import Any

import chuk_sessions
from benchmarks.peers.blocking import BlockingCall, BlockingPeer, main
from benchmarks.peers.sessions import PAGES, SHORT, USERS
from chuk_sessions import SessionManager as AsyncSessionManager
from chuk_sessions.providers import redis
from chuk_sessions.sync import SessionManager


class BlockingSessions(BlockingPeer):
    """The synchronous SessionManager on `sessions` sessions of USERS users."""

    operations = ("validate", "read", "merge")
    package = "chuk-sessions"
    imported_from = str(Path(chuk_sessions.__file__).resolve())

    def start(self) -> None:
        """Create the manager and the sessions."""
        self._manager: Any = self._new_manager()
        users = [f"user{number % USERS:06d}" for number in range(self.options["sessions"])]
        self._ids = [self._manager.allocate_session(user_id=user, custom_metadata=SHORT) for user in users]

    def _new_manager(self) -> Any:
        return SessionManager(self.options["sandbox"], redis.factory(self.options["url"]), 24)

    def stop(self) -> None:
        """Close the manager."""
        self._manager.close()

    def calls(self, operation: str) -> BlockingCall:
        """Call a method for one session after another."""
        ids, manager = cycle(self._ids), self._manager
        if operation == "merge":
            update, pages = manager.update_session_metadata, cycle([{"last_page": page} for page in PAGES])
            return lambda: update(next(ids), next(pages))
        method = manager.validate_session if operation == "validate" else manager.get_session_info
        return lambda: method(next(ids))


class ThreadsafeManager:
    """An asynchronous manager whose methods block: each hands its coroutine to a loop in another thread."""

    def __init__(self, manager: AsyncSessionManager) -> None:
        self._manager = manager
        self._loop = asyncio.new_event_loop()
        Thread(target=self._loop.run_forever, daemon=True).start()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._manager, name)
        return lambda *args, **options: asyncio.run_coroutine_threadsafe(method(*args, **options), self._loop).result()

    def close(self) -> None:
        """Close the manager, and stop the loop."""
        asyncio.run_coroutine_threadsafe(self._manager.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)


class PlainHop(BlockingSessions):
    """The plain way, for comparison."""

    def _new_manager(self) -> Any:
        return ThreadsafeManager(AsyncSessionManager(self.options["sandbox"], redis.factory(self.options["url"]), 24))


def peer(options: dict[str, Any]) -> BlockingSessions:
    """Return the peer that the options ask for."""
    return PlainHop(options) if options.get("hop") == "plain" else BlockingSessions(options)


if __name__ == "__main__":
    main(peer)
