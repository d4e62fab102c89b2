"""A process of an application that uses encryption: it works on shared sessions until its input ends.

It is configured by the environment alone, as in production. After each round it prints a line, and at the end how many
reads it has made, with every error and every session whose data was wrong.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
import threading
import traceback
from collections import Counter
from typing import Any

from chuk_sessions import SessionManager

USERS = 5
CAP = 40
CALLERS = 3


def note(number: int) -> str:
    """Return the value that a shared session always has."""
    return f"note of session {number}"


def user(number: int) -> str:
    """Return the user of a shared session."""
    return f"user {number % USERS}"


class Worker:
    """The work of one process."""

    def __init__(self, manager: SessionManager, session_ids: list[str]) -> None:
        self._manager = manager
        self._ids = session_ids
        self._random = random.Random()
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    async def round(self) -> None:
        """Let some callers use sessions."""
        await asyncio.gather(*(self._guarded() for _ in range(CALLERS)))

    async def _guarded(self) -> None:
        try:
            await self._use()
        except Exception as error:
            self.failures.append("".join(traceback.format_exception(error))[-2000:])

    async def _use(self) -> None:
        number, manager = self._random.randrange(len(self._ids)), self._manager
        session_id, key = self._ids[number], f"key {self._random.randrange(3)}"
        await manager.validate_session(session_id)
        assert await manager.update_session_metadata(session_id, {key: [number]})
        session = await manager.load_session(session_id)
        self._check(session, number)
        assert await manager.update_session_metadata(session_id, {"seen": 1}, expected={"note": note(number)})
        await manager.transform_session_metadata(session_id, "sum", lambda found: (found or 0) + 1)
        listed = await manager.list_user_sessions(user(number))
        assert len(listed) >= len(self._ids) // USERS, f"{len(listed)} sessions are listed"
        visitor_id = f"visitor {secrets.token_hex(4)}"
        guest = await manager.allocate_session(custom_metadata={"cart": [1]})
        inside = await manager.rotate_session(guest, user_id=visitor_id)
        visitor = await manager.get_session_metadata(inside or "")
        assert visitor is not None
        assert (visitor.user_id, visitor.custom_metadata) == (visitor_id, {"cart": [1]})
        assert await manager.revoke_user_sessions(visitor_id) == 1
        self.counts["reads"] += 4

    def _check(self, session: Any, number: int) -> None:
        assert session is not None, "a session is gone"
        assert session.user_id == user(number)
        assert session.custom_metadata["note"] == note(number)


async def main(session_ids: list[str]) -> None:
    """Work until the input ends."""
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    async with SessionManager("shop", max_sessions_per_user=CAP) as manager:
        worker = Worker(manager, session_ids)
        while not ended.is_set():
            await worker.round()
            _say("round")
            # The other processes and the commands need the processor, too.
            await asyncio.sleep(0.02)
    _say(json.dumps({**worker.counts, "failures": worker.failures[:5]}))


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
