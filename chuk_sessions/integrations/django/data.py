"""The values of a Django session, and how they are stored.

Django's keys need not be strings. Keys that are not, and strings that look like one of those, are stored as JSON text
with a prefix. So the keys 1 and "1" are different, and come back as they were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ..snapshot import Changes, Snapshot
from ..values import Values

_PREFIX: Final = "$chuk:"


def stored_key(key: Any) -> str:
    """Return the metadata key for a key of a session.

    Raises:
        TypeError: it is neither a string nor a number, bool or None. Django's JSON serializer refuses it, too.

    """
    if type(key) is str and not key.startswith(_PREFIX):
        return key
    if isinstance(key, str):
        return f"{_PREFIX}{json.dumps(str(key))}" if key.startswith(_PREFIX) else str(key)
    if key is None or isinstance(key, (int, float)):
        return f"{_PREFIX}{json.dumps(key)}"
    raise TypeError(f"keys of a session must be str, int, float, bool or None, not {type(key).__name__}")


def session_key_of(stored: str) -> Any:
    """Return the key of a session for what `stored_key` has returned."""
    return json.loads(stored.removeprefix(_PREFIX)) if stored.startswith(_PREFIX) else stored


class SessionData(dict[Any, Any]):
    """The values of a session, which know those in the store.

    Attributes:
        snapshot: the values in the store.
        replaces: whether a save must replace all values in the store, because they are unknown.

    """

    def __init__(self, values: Values, stored: Mapping[str, Any] | None = None) -> None:
        """Create the object. Without `stored`, the values in the store are unknown.

        Raises:
            CorruptRecordError: a stored value cannot be decoded.

        """
        self.snapshot = Snapshot(values)
        self.replaces = stored is None
        loaded = self.snapshot.load(stored or {})
        super().__init__((session_key_of(key), value) for key, value in loaded.items())

    def changes(self) -> Changes:
        """Return what has changed. Raises the serializer's error for a value that it does not support."""
        return self.snapshot.compare({stored_key(key): value for key, value in self.items()})

    def mark_saved(self, changes: Changes) -> None:
        """Note that the changes have been stored."""
        self.snapshot.apply(changes)
        self.replaces = False

    def applied_to(self, values: dict[Any, Any]) -> dict[Any, Any]:
        """Make these changes in other values, and return those."""
        changes = self.changes()
        values.update((session_key_of(key), value) for key, value in changes.values.items())
        for key in changes.removed:
            values.pop(session_key_of(key), None)
        return values

    def note(self, key: Any, value: Any) -> None:
        """Take over a value that the store has already."""
        self[key] = value
        self.snapshot.note(stored_key(key), value)

    def forget(self, key: Any) -> None:
        """Remove a key that the store no longer has."""
        self.pop(key, None)
        self.snapshot.forget(stored_key(key))
