"""Sessions that come and go: made, given new ids, logged in, deleted or revoked. What has ended must stay so."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from chuk_sessions import SessionManager

from .attempts import Applied, Attempts
from .ledger import Ledger, marker_of

PACE = 0.02


class _Over(Exception):  # noqa: N818  (no error: a life that nothing can be said of any more)
    pass


class Lives:
    """A task that has one session after another."""

    def __init__(
        self, manager: SessionManager, ledger: Ledger, attempts: Attempts, numbers: itertools.count[int]
    ) -> None:
        self._manager = manager
        self._ledger = ledger
        self._attempts = attempts
        self._numbers = numbers

    async def run(self, proceeds: Callable[[], Awaitable[bool]]) -> None:
        """Have sessions for as long as the load goes on."""
        while await proceeds():
            with suppress(_Over):
                await self._live(next(self._numbers))
            await asyncio.sleep(PACE)

    async def _live(self, number: int) -> None:
        manager, user = self._manager, f"u{number}"
        guest = await self._write(manager.allocate_session(custom_metadata={"marker": marker_of(number)}))
        session_id = await self._write(manager.rotate_session(guest, user_id=user))
        self._discard(guest)
        await self._look_at(session_id, number)
        newer = await self._write(manager.rotate_session(session_id))
        self._discard(session_id)
        await self._end(newer, user)
        self._discard(newer)
        await self._look_for_the_dead(newer)
        await self._look_for_the_dead(random.choice(self._ledger.dead))

    async def _end(self, session_id: str, user: str) -> None:
        if random.random() < 0.02:  # it asks 256 places
            await self._write(self._manager.revoke_user_sessions(user))
        else:
            await self._write(self._manager.delete_session(session_id))

    async def _write(self, call: Coroutine[Any, Any, Any]) -> Any:
        answer = await self._ask(call)
        if not answer:
            self._ledger.missing += 1
            raise _Over
        self._ledger.lives += 1
        return answer

    async def _ask(self, call: Coroutine[Any, Any, Any]) -> Any:
        applied, answer = await self._attempts.make(call, repeats=True)
        if applied is not Applied.YES:
            raise _Over
        return answer

    def _discard(self, session_id: str) -> None:
        self._ledger.dead.append(session_id)

    async def _look_at(self, session_id: str, number: int) -> None:
        found = await self._ask(self._manager.get_session_metadata(session_id))
        if found is None:
            self._ledger.missing += 1
            raise _Over
        self._ledger.crossed += found.custom_metadata.get("marker") != marker_of(number)

    async def _look_for_the_dead(self, session_id: str) -> None:
        self._ledger.revived += bool(await self._ask(self._manager.validate_session(session_id)))
