"""Short-lived sessions: created, rotated, logged in, deleted or revoked. Their old ids must never validate again."""

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


class _Abandoned(Exception):  # noqa: N818  (not an error: an outcome is unknown, so the session proves nothing more)
    pass


class Churn:
    """A task that works through one short-lived session after another."""

    def __init__(
        self, manager: SessionManager, ledger: Ledger, attempts: Attempts, numbers: itertools.count[int]
    ) -> None:
        self._manager = manager
        self._ledger = ledger
        self._attempts = attempts
        self._numbers = numbers

    async def run(self, proceeds: Callable[[], Awaitable[bool]]) -> None:
        """Work until the load stops."""
        while await proceeds():
            with suppress(_Abandoned):
                await self._session_lifecycle(next(self._numbers))
            await asyncio.sleep(PACE)

    async def _session_lifecycle(self, number: int) -> None:
        manager, user = self._manager, f"u{number}"
        guest = await self._write(manager.allocate_session(custom_metadata={"marker": marker_of(number)}))
        session_id = await self._write(manager.rotate_session(guest, user_id=user))
        self._record_invalid(guest)
        await self._check_marker(session_id, number)
        newer = await self._write(manager.rotate_session(session_id))
        self._record_invalid(session_id)
        await self._delete_or_revoke(newer, user)
        self._record_invalid(newer)
        await self._check_invalid(newer)
        await self._check_invalid(random.choice(self._ledger.invalid_ids))

    async def _delete_or_revoke(self, session_id: str, user: str) -> None:
        if random.random() < 0.02:  # it queries 256 buckets
            await self._write(self._manager.revoke_user_sessions(user))
        else:
            await self._write(self._manager.delete_session(session_id))

    async def _write(self, call: Coroutine[Any, Any, Any]) -> Any:
        result = await self._call(call)
        if not result:
            self._ledger.missing += 1
            raise _Abandoned
        self._ledger.churn_writes += 1
        return result

    async def _call(self, call: Coroutine[Any, Any, Any]) -> Any:
        applied, result = await self._attempts.run(call, retried=True)
        if applied is not Applied.YES:
            raise _Abandoned
        return result

    def _record_invalid(self, session_id: str) -> None:
        self._ledger.invalid_ids.append(session_id)

    async def _check_marker(self, session_id: str, number: int) -> None:
        found = await self._call(self._manager.get_session_metadata(session_id))
        if found is None:
            self._ledger.missing += 1
            raise _Abandoned
        self._ledger.crossed += found.custom_metadata.get("marker") != marker_of(number)

    async def _check_invalid(self, session_id: str) -> None:
        self._ledger.revived += bool(await self._call(self._manager.validate_session(session_id)))
