"""The backend of a manager: shared by all managers of a factory, and closed with the last of them."""

from __future__ import annotations

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


class Closed:
    """In the place of what a manager works with, once it is closed."""

    def __getattr__(self, name: str) -> Any:
        raise ManagerClosedError("this SessionManager was closed")


CLOSED = Closed()


def backend_of(factory: SessionFactory) -> Backend:
    """Return the backend of a provider's factory, or one that works on a custom factory."""
    backend: Backend | None = getattr(factory, "backend", None)
    return CustomBackend(factory) if backend is None else backend


def count_managers(backend: Backend, step: int) -> int:
    """Count one open manager more, or less, for a backend. Returns how many there are now."""
    with _managers_lock:
        _managers[backend] += step
        left = _managers[backend]
        if not left:
            del _managers[backend]
        return left
