"""Sessions that are there all the time, and the tasks that work on them."""

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
from .ledger import STRIDE, Account, Ledger, ends_ms

PACE = 0.012


class Seat:
    """The place of one session. When a session turns out to be gone, another one takes it.

    Attributes:
        account: of the present session; None when there is none.
        served: when the last acknowledged call for it began.

    """

    def __init__(self, ledger: Ledger, attempts: Attempts, numbers: itertools.count[int]) -> None:
        self.ledger = ledger
        self.attempts = attempts
        self._numbers = numbers
        self.account: Account | None = None
        self.served = 0.0
        self._last: deque[tuple[float, float]] = deque(maxlen=2000)

    def serve(self, begun: float) -> None:
        """A call that began then was acknowledged."""
        self.served = max(self.served, begun)
        self._last.append((begun, time.monotonic()))

    def first_after(self, moment: float) -> float:
        """When the first acknowledged call ended that began after that moment."""
        return min(ended for begun, ended in self._last if begun > moment)

    async def take(self, manager: SessionManager) -> None:
        """Make a session for the seat."""
        number, begun = next(self._numbers), time.monotonic()
        metadata = {"n": number * STRIDE, "marker": Account("", number).marker}
        made, session_id = await self.attempts.make(
            manager.allocate_session(user_id=f"u{number}", custom_metadata=metadata), repeats=True
        )
        if made is Applied.YES:
            self.account = Account(session_id, number)
            self.ledger.accounts.append(self.account)
            self.serve(begun)

    def miss(self, account: Account) -> None:
        """Somebody was told that the session is not there."""
        account.missed = True
        if self.account is account:
            self.account = None


class Worker:
    """One side's task for one seat: every call that a session is good for, in any order."""

    def __init__(self, manager: SessionManager, seat: Seat, side: int) -> None:
        self._manager = manager
        self._seat = seat
        self._side = side
        self._notes = 0
        self._steps: tuple[Callable[[Account], object], ...] = (
            self._validate, self._read, self._add, self._add_once, self._note, self._note_once, self._extend,
        )  # fmt: skip

    async def run(self, proceeds: Callable[[], Awaitable[bool]]) -> None:
        """Work for as long as the load goes on."""
        while await proceeds():
            account = self._seat.account
            if account is not None:
                await random.choice(self._steps)(account)  # type: ignore[misc]
            elif self._side == 0:
                await self._seat.take(self._manager)
            await asyncio.sleep(PACE * random.uniform(0.5, 1.5))

    async def _call(self, account: Account, call: object, *, repeats: bool) -> tuple[Applied, object]:
        begun = time.monotonic()
        applied, answer = await self._seat.attempts.make(call, repeats=repeats)  # type: ignore[arg-type]
        if applied is Applied.YES:
            if answer is False or answer is None:
                self._seat.miss(account)
            else:
                self._seat.serve(begun)
        return applied, answer

    async def _validate(self, account: Account) -> None:
        await self._call(account, self._manager.validate_session(account.session_id), repeats=True)

    async def _read(self, account: Account) -> None:
        asked = account.hours + account.perhaps_hours
        _, found = await self._call(account, self._manager.get_session_metadata(account.session_id), repeats=True)
        if found is None:
            return
        if found.custom_metadata.get("marker") != account.marker:  # type: ignore[attr-defined]
            self._seat.ledger.crossed += 1
        elif not account.ends_ms and not asked and not account.hours + account.perhaps_hours:
            account.ends_ms = ends_ms(found)  # type: ignore[arg-type]

    async def _add(self, account: Account, key: str | None = None) -> None:
        account.perhaps_added += 1
        call = self._manager.increment_session_counter(account.session_id, "n", idempotency_key=key)
        applied, answer = await self._call(account, call, repeats=key is not None)
        account.perhaps_added -= applied is not Applied.PERHAPS
        if applied is Applied.YES and answer is not None:
            account.added += 1
            self._seat.ledger.crossed += answer.value // STRIDE != account.number  # type: ignore[attr-defined]

    async def _add_once(self, account: Account) -> None:
        await self._add(account, uuid4().hex)

    async def _note(self, account: Account, key: str | None = None) -> None:
        self._notes += 1
        note = self._notes
        account.perhaps_notes.add((self._side, note))
        call = self._manager.update_session_metadata(
            account.session_id, {f"note{self._side}": note}, idempotency_key=key
        )
        applied, answer = await self._call(account, call, repeats=key is not None)
        if applied is not Applied.PERHAPS:
            account.perhaps_notes.discard((self._side, note))
        if applied is Applied.YES and answer:
            account.notes[self._side] = note
            account.noted += 1

    async def _note_once(self, account: Account) -> None:
        await self._note(account, uuid4().hex)

    async def _extend(self, account: Account) -> None:
        if not account.ends_ms or random.random() < 0.5:
            return
        account.perhaps_hours += 1
        applied, answer = await self._call(
            account, self._manager.extend_session_ttl(account.session_id, 1), repeats=True
        )
        account.perhaps_hours -= applied is not Applied.PERHAPS
        account.hours += applied is Applied.YES and bool(answer)
