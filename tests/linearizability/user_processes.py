"""A process that calls methods of SessionManager on the sessions of a user, and records what it sees."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import Random
from typing import Any

from chuk_sessions import OutcomeUnknownError, ProviderError, SessionManager, SessionRotatedError
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.core import ids
from chuk_sessions.providers.factory import Factory
from tests.linearizability.checker import UNKNOWN, Event
from tests.linearizability.processes import gathered
from tests.linearizability.users import ROTATED, USER, UserStep

SANDBOX = "test"
HOME = ids.home_bucket(SANDBOX, USER)
CHOSEN = [
    f"sess-{1_700_000_000 + number}-{(HOME + distance) % ids.BUCKETS:02x}{number:032x}"
    for number, distance in enumerate((0, 1, 1, 2))
]
"""Ids that callers choose: one in the home bucket, two in another bucket, and one in a third bucket."""

NO_GUEST = "no-guest"
GRACE_SECONDS = 60
CALLS, TASKS, PROCESSES = 4, 2, 3
NAMES = (
    ["allocate"] * 5 + ["rotate", "move", "list", "revoke"] * 3 + ["create", "validate"] * 2 + ["create_guest"]
    + ["log_in"] * 2 + ["delete"]
)  # fmt: skip


class UserRecorder:
    """A client that takes random steps. The steps of a task are a seed."""

    def __init__(self, url: str, retries: int) -> None:
        backend = RedisBackend(url, retries=retries)
        self._backend = backend
        factory = Factory(backend, lambda: None)  # type: ignore[type-var]
        self._manager = SessionManager(SANDBOX, factory)
        self._capped = SessionManager(SANDBOX, factory, max_sessions_per_user=1000)
        self._repeats = retries > 0

    async def record(self, seeds: Sequence[int]) -> list[Event]:
        """Run a task for each seed concurrently, and return their events."""
        return await gathered(map(self._record_task, seeds))

    async def close(self) -> None:
        await self._backend.aclose()

    async def _record_task(self, seed: int) -> list[Event]:
        random, known, guests = Random(seed), [*CHOSEN], [NO_GUEST]
        events = []
        for _ in range(CALLS):
            name = random.choice(NAMES)
            # The id of a guest is never chosen. A chosen id could be used again after a login, for another session.
            session_id = random.choice(CHOSEN if name == "allocate" else guests if name == "log_in" else known)
            event = await self.take(name, session_id)
            events += [event] if event else []
            if event and event.result is True:
                known.append(event.step.new_id or event.step.session_id)
                guests += [event.step.session_id] if name == "create_guest" else []
        return events

    async def take(self, name: str, session_id: str = "") -> Event | None:
        """Take a step, and return its event; None if it had no effect that could be explained later."""
        began = time.monotonic_ns()
        try:
            step, result = await getattr(self, f"_{name}")(session_id)
        except SessionRotatedError:
            if self._repeats:
                # A lost attempt may have replaced the id, by one that nobody knows, of a session that was deleted then.
                return Event(UserStep("rotate", session_id, f"lost-{began}"), began)
            step, result = UserStep("rotate", session_id), ROTATED
        except ProviderError as error:
            return _failed(name, session_id, error, began)
        or_result = False if name == "delete" and result and self._repeats else UNKNOWN
        return Event(step, began, time.monotonic_ns(), result, or_result)

    async def _allocate(self, session_id: str) -> tuple[UserStep, Any]:
        await self._manager.allocate_session(session_id, user_id=USER)
        return UserStep("allocate", session_id), True

    async def _create(self, _: str) -> tuple[UserStep, Any]:
        return UserStep("allocate", await self._manager.allocate_session(user_id=USER)), True

    async def _create_guest(self, _: str) -> tuple[UserStep, Any]:
        return UserStep("create_guest", await self._manager.allocate_session()), True

    async def _rotate(self, session_id: str) -> tuple[UserStep, Any]:
        return _rotated(
            "rotate", session_id, await self._manager.rotate_session(session_id, grace_seconds=GRACE_SECONDS)
        )

    async def _move(self, session_id: str) -> tuple[UserStep, Any]:
        return _rotated(
            "rotate", session_id, await self._capped.rotate_session(session_id, grace_seconds=GRACE_SECONDS)
        )

    async def _log_in(self, session_id: str) -> tuple[UserStep, Any]:
        return _rotated("log_in", session_id, await self._manager.rotate_session(session_id, user_id=USER))

    async def _delete(self, session_id: str) -> tuple[UserStep, Any]:
        return UserStep("delete", session_id), await self._manager.delete_session(session_id)

    async def _validate(self, session_id: str) -> tuple[UserStep, Any]:
        return UserStep("validate", session_id), await self._manager.validate_session(session_id)

    async def _revoke(self, _: str) -> tuple[UserStep, Any]:
        await self._manager.revoke_user_sessions(USER)
        return UserStep("revoke"), True

    async def _list(self, _: str) -> tuple[UserStep, Any]:
        sessions = await self._manager.list_user_sessions(USER)
        return UserStep("list"), frozenset(session.reference for session in sessions)


def _failed(name: str, session_id: str, error: ProviderError, began: float) -> Event | None:
    """Return the event of a step whose outcome is unknown. The id of a new session may be unknown, too."""
    if name in ("list", "validate", "create", "create_guest"):
        return None
    if name not in ("rotate", "move", "log_in"):
        return Event(UserStep(name, session_id), began)
    new_id = error.session_id if isinstance(error, OutcomeUnknownError) else None
    return Event(UserStep("log_in" if name == "log_in" else "rotate", session_id, new_id or f"unknown {began}"), began)


def _rotated(name: str, session_id: str, new_id: str | None) -> tuple[UserStep, Any]:
    return UserStep(name, session_id, new_id or ""), new_id is not None
