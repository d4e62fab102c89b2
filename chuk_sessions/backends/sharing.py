"""Sharing of a backend by all managers of a factory; it is closed with the last of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from threading import RLock
from typing import Any

from ..exceptions import ManagerClosedError
from .base import Backend
from .custom import CustomBackend

SessionFactory = Callable[[], AbstractAsyncContextManager[Any]]

_managers: Counter[Backend] = Counter()
"""How many open managers each backend has."""
_managers_lock = RLock()

_CLOSED = "this SessionManager was closed"


class Closed:
    """The stand-in for the parts of a manager after it was closed. Every use raises ManagerClosedError."""

    def __getattr__(self, name: str) -> Any:
        raise ManagerClosedError(_CLOSED)

    def __call__(self, *_: object) -> Any:
        """Raise ManagerClosedError."""
        raise ManagerClosedError(_CLOSED)


CLOSED = Closed()


def backend_of(factory: SessionFactory) -> Backend:
    """Return the backend of a provider's factory, or a new one that uses a custom factory."""
    backend: Backend | None = getattr(factory, "backend", None)
    return CustomBackend(factory) if backend is None else backend


def count_managers(backend: Backend, step: int) -> int:
    """Add `step` (1 or -1) to the number of open managers of a backend, and return the number."""
    with _managers_lock:
        _managers[backend] += step
        number = _managers[backend]
        if not number:
            del _managers[backend]
        return number


def _after_fork() -> None:
    """Replace the lock in a forked child, where no thread is left to release it."""
    global _managers_lock
    _managers_lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
