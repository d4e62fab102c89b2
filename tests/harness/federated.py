"""Two sandboxes on one store: `test` gives grants, and `other` resolves them."""

from __future__ import annotations

from typing import Any

from chuk_sessions import SessionManager
from chuk_sessions.federation import Federation, generate_signing_key
from tests.harness.worlds import World

KEY = generate_signing_key()
GIVING: dict[str, Any] = {"federation": Federation(keys={"k1": KEY})}
"""Options of a manager of the sandbox `test`."""

RESOLVING: dict[str, Any] = {"federation": Federation(trust={"test": {"k1": KEY.public_key()}})}
"""Options of a manager of another sandbox."""


def pair(world: World, **options: Any) -> tuple[SessionManager, SessionManager]:
    """Return the manager that gives grants, and the one that resolves them."""
    return world.manager(**options, **GIVING), world.manager("other", **RESOLVING)
