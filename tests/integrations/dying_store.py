"""A store that dies during a call, so that nobody knows whether the call was applied."""

from __future__ import annotations

import pytest

from chuk_sessions import OutcomeUnknownError, SessionManager, SessionUnavailableError
from chuk_sessions.core.operation import Call, Reply, RetryCalls
from chuk_sessions.providers.factory import Factory
from tests.harness.worlds import Intercepted, World

OUTCOMES = pytest.mark.parametrize("is_applied", [True, False], ids=["applied", "not applied"])
"""Run a test with both outcomes of the call."""


class DyingStore(Intercepted):
    """A world's store, which dies when it is told to, and comes back later."""

    def __init__(self, world: World) -> None:
        async def nothing(call: Call) -> None:
            pass

        super().__init__(world.backend, nothing)
        self.factory = Factory(self, lambda: None)  # type: ignore[type-var]
        self.manager = SessionManager("test", self.factory)
        self._dies_during, self._is_applied, self._is_dead = "", False, False

    def die_during_rotation(self, *, is_applied: bool) -> None:
        """Die during the next rotation, or login of the same user, before or after it is applied."""
        self._dies_during, self._is_applied = "rotate", is_applied

    def die_during_deletion(self, *, is_applied: bool) -> None:
        """Die during the next deletion. The login of a guest creates a session and deletes the guest's."""
        self._dies_during, self._is_applied = "delete", is_applied

    def come_back(self) -> None:
        """Work again."""
        assert self._is_dead, "the store has not died"
        self._dies_during, self._is_dead = "", False

    async def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Reply:
        if self._is_dead:
            raise SessionUnavailableError("the store is down")
        if call.operation.name != self._dies_during:
            return await super().run(call, retry_calls)
        self._is_dead = True
        if self._is_applied:
            await super().run(call, retry_calls)
        raise OutcomeUnknownError("the reply was lost")
