"""Modes of an allocation: what it does if there is a live session with the id. Scripts compare these texts."""

from __future__ import annotations

from typing import Final

from ..enums import AllocateMode

TOUCH: Final = AllocateMode.TOUCH.encode()
CREATE: Final = AllocateMode.CREATE.encode()
REPLACE: Final = AllocateMode.REPLACE.encode()

CREATION_WINDOW_MS: Final = 120_000
"""How long an id remembers who created or replaced its session: longer than a call is retried."""


def mode(value: object) -> bytes:
    """Return a mode as scripts take it. Raises ValueError for a value that is not an AllocateMode or its text."""
    if value is AllocateMode.TOUCH:
        return TOUCH
    try:
        return AllocateMode(value).encode()  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"mode must be 'touch', 'create' or 'replace', not {value!r}") from None
