"""Changes of single values in one atomic step, which no concurrent request can undo, and rate limits."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from django.contrib.sessions.backends.base import UpdateError

from ... import ABSENT, Increment, RateLimit, Transformed
from ..lifecycle import Steps
from .data import SessionData, stored_key
from .steps import SessionSteps, call


class AtomicSteps(SessionSteps):
    """A session whose values several requests change at once.

    Each step saves the pending changes first, and creates the session if the store has none. It returns None if the
    session was revoked meanwhile.
    """

    def _on_stored_steps(self, method: str, *args: Any, **options: Any) -> Steps[Any]:
        yield from self._available_data_steps()
        try:
            if self.session_key is None:
                yield from self._create_steps()
            elif self._changes():
                yield from self._update_steps()
        except UpdateError:
            return None
        return (yield call(method, self.session_key, *args, **options))

    def _append_steps(self, key: Any, items: tuple[Any, ...], max_bytes: int | None) -> Steps[int | None]:
        stored = [self._values.dump(item) for item in items]
        size: int | None = yield from self._on_stored_steps(
            "append_session_metadata", stored_key(key), *stored, max_bytes=max_bytes
        )
        if size is not None:
            present = self._data().get(key)
            self._data().note(key, [*(present if isinstance(present, list) else ()), *items])
        return size

    def _transform_steps(self, key: Any, function: Callable[[Any], Any], default: Any) -> Steps[Transformed | None]:
        load, dump = self._values.load, self._values.dump

        def on_stored(stored: Any) -> Any:
            value = function(deepcopy(default) if stored is ABSENT else load(stored))
            return value if value is ABSENT else dump(value)

        done: Transformed | None = yield from self._on_stored_steps(
            "transform_session_metadata", stored_key(key), on_stored, ABSENT
        )
        if done is None:
            return None
        if done.value is ABSENT:
            self._data().forget(key)
            return done
        value = load(done.value)
        self._data().note(key, value)
        return Transformed(value, done.attempts)

    def _increment_steps(self, key: Any, amount: int, ceiling: int | None) -> Steps[Increment | None]:
        done: Increment | None = yield from self._on_stored_steps(
            "increment_session_counter", stored_key(key), amount, ceiling=ceiling
        )
        if done is not None:
            self._data().note(key, done.value)
        return done

    def _rate_limit_steps(self, name: str, limit: int, per_seconds: float, options: Any) -> Steps[RateLimit | None]:
        allowed: RateLimit | None = yield from self._on_stored_steps(
            "rate_limit_session", name, limit, per_seconds, **options
        )
        return allowed

    def _revoke_others_steps(self) -> Steps[int]:
        yield from self._available_data_steps()
        if self._user_id is None:
            raise ValueError("only a user who is logged in has other sessions")
        revoked: int = yield call("revoke_user_sessions", self._user_id, except_session_id=self.session_key)
        return revoked

    def _user_steps(self) -> Steps[str | None]:
        yield from self._data_steps()
        return self._user_id

    def _data(self) -> SessionData:
        return self._tracked()
