"""Names of readers, as the store has them: the name itself or, for a reader of one sandbox, `NAME^SANDBOX`."""

from __future__ import annotations

from ..core import ids, validation

_SEPARATOR = "^"
"""A character that neither names of readers nor those of sandboxes have."""

_MAX_LENGTH = 128


def reader_name(reader: str, sandbox_id: str | None) -> str:
    """Return the name under which the store has a reader. Raises ValueError for a malformed name."""
    ids.check_name(reader, "reader", _MAX_LENGTH)
    if sandbox_id is None:
        return reader
    return reader + _SEPARATOR + ids.check_name(sandbox_id, "sandbox_id", validation.MAX_SANDBOX_LENGTH)


def parse(name: bytes) -> tuple[str, str | None]:
    """Return the reader and sandbox in a stored name."""
    reader, _, sandbox_id = name.decode("ascii", "replace").partition(_SEPARATOR)
    return reader, sandbox_id or None
