"""Changes of single values in one atomic step, which no concurrent request can undo, and rate limits."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from .. import ABSENT, Increment, RateLimit, Transformed
from .lifecycle import ManagerCall, SessionLifecycle, Steps


class SharedValues(SessionLifecycle):
    """A session whose values several requests change at once.

    Each step saves the pending changes first, and creates the session if the store has none. It returns None if the
    session was revoked meanwhile; a rate limit is then refused.
    """

    def _stored_steps(self) -> Steps[str | None]:
        """Save, and return the id of the session in the store."""
        yield from self._load_steps()
        is_saved = yield from self._save_steps()
        if is_saved and self._session_id is None:
            yield from self._create_steps(even_if_empty=True)
        return self._session_id

    def _on_stored_steps(self, method: str, *args: Any, **options: Any) -> Steps[Any]:
        """Call a manager's method for the session; None if there is no such session any more."""
        self.mark_accessed()
        session_id = yield from self._stored_steps()
        if session_id is None:
            return None
        result = yield ManagerCall(method, (session_id, *args), options)
        if result is None:
            self._lose("was revoked or has expired; a change is dropped")
        return result

    def _append_steps(self, key: str, items: tuple[Any, ...], max_bytes: int | None) -> Steps[int | None]:
        size: int | None = yield from self._on_stored_steps("append_session_metadata", key, *items, max_bytes=max_bytes)
        if size is not None:
            present = dict.get(self, key)
            self._note(key, [*(present if isinstance(present, list) else ()), *items])
        return size

    def _transform_steps(self, key: str, function: Callable[[Any], Any], default: Any) -> Steps[Transformed | None]:
        values = self._options.values

        def on_stored(stored: Any) -> Any:
            value = deepcopy(default) if stored is ABSENT else values.load(stored)
            result = function(value)
            if stored is ABSENT and result is None and value != default:
                raise ValueError("the function changed the value but returned None; it must return the new value")
            return result if result is ABSENT else values.dump(result)

        done: Transformed | None = yield from self._on_stored_steps(
            "transform_session_metadata", key, on_stored, ABSENT
        )
        if done is None:
            return None
        done = Transformed(done.value if done.value is ABSENT else values.load(done.value), done.attempts)
        self._note(key, done.value)
        return done

    def _increment_steps(self, key: str, amount: int, ceiling: int | None) -> Steps[Increment | None]:
        done: Increment | None = yield from self._on_stored_steps(
            "increment_session_counter", key, amount, ceiling=ceiling
        )
        if done is not None:
            self._note(key, done.value)
        return done

    def _rate_limit_steps(
        self, name: str, limit: int, per_seconds: float, burst: int | None, cost: int
    ) -> Steps[RateLimit]:
        result: RateLimit | None = yield from self._on_stored_steps(
            "rate_limit_session", name, limit, per_seconds, burst=burst, cost=cost
        )
        return RateLimit(False, 0, 0.0, 0.0) if result is None else result

    def _revoke_others_steps(self) -> Steps[int]:
        yield from self._load_steps()
        if self.user_id is None:
            raise ValueError("only a user who is logged in has other sessions")
        revoked: int = yield ManagerCall(
            "revoke_user_sessions", (self.user_id,), {"except_session_id": self._session_id}
        )
        return revoked

    def _note(self, key: str, value: Any) -> None:
        """Take over the value of a key that the store has already."""
        if value is ABSENT:
            dict.pop(self, key, None)
            self._snapshot.forget(key)
        else:
            dict.__setitem__(self, key, value)
            self._snapshot.note(key, value)
