"""Long-lived sessions that both managers share, and the tasks that work on them."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from uuid import uuid4

from chuk_sessions import SessionManager

from .attempts import Applied, Attempts
from .ledger import STRIDE, Account, Ledger, deadline_of

PACE = 0.012


class SharedSession:
    """A session that is replaced by a new one when a caller is told that it does not exist.

    Attributes:
        account: of the current session; None if there is no session.
        served: when the last acknowledged call for it began.

    """

    def __init__(self, ledger: Ledger, attempts: Attempts, numbers: itertools.count[int]) -> None:
        self.ledger = ledger
        self.attempts = attempts
        self._numbers = numbers
        self.account: Account | None = None
        self.served = 0.0
        self._last: deque[tuple[float, float]] = deque(maxlen=2000)

    def record_served(self, begun: float) -> None:
        """Record that a call was acknowledged that began at that time."""
        self.served = max(self.served, begun)
        self._last.append((begun, time.monotonic()))

    def first_after(self, moment: float) -> float:
        """Return when the first acknowledged call returned that began after that moment."""
        return min(ended for begun, ended in self._last if begun > moment)

    async def allocate(self, manager: SessionManager) -> None:
        """Create the session."""
        number, begun = next(self._numbers), time.monotonic()
        metadata = {"n": number * STRIDE, "marker": Account("", number).marker}
        applied, session_id = await self.attempts.run(
            manager.allocate_session(user_id=f"u{number}", custom_metadata=metadata), retried=True
        )
        if applied is Applied.YES:
            self.account = Account(session_id, number)
            self.ledger.accounts.append(self.account)
            self.record_served(begun)

    def record_missing(self, account: Account) -> None:
        """Record that a caller was told that the session does not exist."""
        account.reported_missing = True
        if self.account is account:
            self.account = None


class Worker:
    """A task of one side for one shared session: all calls on a session, in random order."""

    def __init__(self, manager: SessionManager, shared: SharedSession, side: int) -> None:
        self._manager = manager
        self._shared = shared
        self._side = side
        self._notes = 0
        self._steps: tuple[Callable[[Account], Awaitable[None]], ...] = (
            self._validate, self._read, self._add, self._add_once, self._note, self._note_once, self._extend,
        )  # fmt: skip

    async def run(self, proceeds: Callable[[], Awaitable[bool]]) -> None:
        """Work until the load stops."""
        while await proceeds():
            account = self._shared.account
            if account is not None:
                await random.choice(self._steps)(account)
            elif self._side == 0:
                await self._shared.allocate(self._manager)
            await asyncio.sleep(PACE * random.uniform(0.5, 1.5))

    async def _call(self, account: Account, call: object, *, retried: bool) -> tuple[Applied, object]:
        begun = time.monotonic()
        applied, result = await self._shared.attempts.run(call, retried=retried)  # type: ignore[arg-type]
        if applied is Applied.YES:
            if result is False or result is None:
                self._shared.record_missing(account)
            else:
                self._shared.record_served(begun)
        return applied, result

    async def _validate(self, account: Account) -> None:
        await self._call(account, self._manager.validate_session(account.session_id), retried=True)

    async def _read(self, account: Account) -> None:
        extended = account.hours + account.unconfirmed_hours
        _, found = await self._call(account, self._manager.get_session_metadata(account.session_id), retried=True)
        if found is None:
            return
        if found.custom_metadata.get("marker") != account.marker:  # type: ignore[attr-defined]
            self._shared.ledger.crossed += 1
        elif not account.deadline_ms and not extended and not account.hours + account.unconfirmed_hours:
            account.deadline_ms = deadline_of(found)  # type: ignore[arg-type]

    async def _add(self, account: Account, key: str | None = None) -> None:
        account.unconfirmed_added += 1
        call = self._manager.increment_session_counter(account.session_id, "n", idempotency_key=key)
        applied, result = await self._call(account, call, retried=key is not None)
        account.unconfirmed_added -= applied is not Applied.UNKNOWN
        if applied is Applied.YES and result is not None:
            account.added += 1
            self._shared.ledger.crossed += result.value // STRIDE != account.number  # type: ignore[attr-defined]

    async def _add_once(self, account: Account) -> None:
        await self._add(account, uuid4().hex)

    async def _note(self, account: Account, key: str | None = None) -> None:
        self._notes += 1
        note = self._notes
        account.unconfirmed_notes.add((self._side, note))
        call = self._manager.update_session_metadata(
            account.session_id, {f"note{self._side}": note}, idempotency_key=key
        )
        applied, result = await self._call(account, call, retried=key is not None)
        if applied is not Applied.UNKNOWN:
            account.unconfirmed_notes.discard((self._side, note))
        if applied is Applied.YES and result:
            account.notes[self._side] = note
            account.noted += 1

    async def _note_once(self, account: Account) -> None:
        await self._note(account, uuid4().hex)

    async def _extend(self, account: Account) -> None:
        if not account.deadline_ms or random.random() < 0.5:
            return
        account.unconfirmed_hours += 1
        applied, result = await self._call(
            account, self._manager.extend_session_ttl(account.session_id, 1), retried=True
        )
        account.unconfirmed_hours -= applied is not Applied.UNKNOWN
        account.hours += applied is Applied.YES and bool(result)
