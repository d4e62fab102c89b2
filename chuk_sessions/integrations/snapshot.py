"""Snapshots of a session's values: they show which keys have changed since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..exceptions import InvalidMetadataError
from .values import Values

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Text(str):
    """The JSON text of a value. Values of immutable types are kept as they are instead."""

    __slots__ = ()


@dataclass(frozen=True)
class Changes:
    """The keys that have changed since a snapshot. It is false if there are none.

    Attributes:
        changed: the values of new and changed keys, as they are stored.
        removed: the keys that no longer exist.

    """

    changed: dict[str, Any]
    removed: list[str]
    known: dict[str, Any]

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


NO_CHANGES: Final = Changes({}, [], {})


class Snapshot:
    """The values of a session when it was loaded or saved.

    Texts are compared, so a change inside a list or dict counts, and assigning an equal value does not.
    """

    def __init__(self, values: Values) -> None:
        self._values = values
        self._known: dict[str, Any] = {}

    def load(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Take a snapshot of stored values, and return them as the application gets them."""
        loaded = {key: self._values.load(value) for key, value in stored.items()}
        self._known = {key: self._known_form(value) for key, value in loaded.items()}
        return loaded

    def compare(self, current: Mapping[str, Any]) -> Changes:
        """Return what has changed. Raises as `Values.dump` does."""
        changed, known = {}, {}
        for key, value in current.items():
            before = self._known.get(key, self)
            if type(value) in (str, int, bool) and type(value) is type(before) and value == before:
                continue
            stored = self._values.dump(value)
            form = self._form(value, stored)
            if type(form) is not type(before) or form != before:
                changed[key], known[key] = stored, form
        return Changes(changed, [key for key in self._known if key not in current], known)

    def apply(self, changes: Changes) -> None:
        """Move the snapshot to the time when the changes were computed, because they have been stored."""
        for key in changes.removed:
            self._known.pop(key, None)
        self._known.update(changes.known)

    def note(self, key: str, value: Any) -> None:
        """Note the value of a key that was stored in another way."""
        self._known[key] = self._known_form(value)

    def forget(self, key: str) -> None:
        """Note that a key was removed in another way."""
        self._known.pop(key, None)

    def _known_form(self, value: Any) -> Any:
        return value if type(value) in (str, int, bool) else self._form(value, self._values.dump(value))

    def _form(self, value: Any, stored: Any) -> Any:
        if type(value) in (str, int, bool):
            return value
        try:
            return _Text(_encode(stored))
        except (ValueError, RecursionError) as error:
            raise InvalidMetadataError("a session value cannot be represented as JSON") from error
