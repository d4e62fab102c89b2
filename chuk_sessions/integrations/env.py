"""The session manager of an integration that was created without one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar

from ..settings import from_env

M = TypeVar("M")

DEFAULT_SANDBOX: Final = "web"
"""The sandbox of web sessions if neither arguments nor environment name one. All processes must use the same."""


def sandbox_for_env() -> str:
    """Return the sandbox that CHUK_SANDBOX_ID or CHUK_HOST_SANDBOX_ID names, else `web`."""
    return from_env().sandbox_id or DEFAULT_SANDBOX


def manager_for(
    kind: Callable[..., M],
    manager: M | None = None,
    session_factory: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
    **options: Any,
) -> M:
    """Return the given manager, or a new one with the given factory or the environment's.

    `kind` is `chuk_sessions.SessionManager` or `chuk_sessions.sync.SessionManager`, and `options` are further arguments
    for a new one; None counts as no argument. The new manager opens no connection yet.

    Raises:
        ValueError: there are both a manager and arguments for a new one, or an argument is malformed.

    """
    options = {name: value for name, value in options.items() if value is not None}
    if manager is not None:
        if session_factory is not None or options:
            raise ValueError("pass a manager, or arguments for a new one, but not both")
        return manager
    return kind(session_factory=session_factory, **{"sandbox_id": sandbox_for_env(), **options})
