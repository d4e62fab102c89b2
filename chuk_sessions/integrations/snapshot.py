"""Snapshots of a session's values: they show which keys have changed since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..exceptions import InvalidMetadataError
from .values import Values

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

IMMUTABLE: Final = frozenset({str, int, bool, float, type(None), bytes})
"""The types of values that nobody can change in place."""
_COMPARABLE: Final = (str, int, bool)
"""Those that are equal only if they are stored alike."""
_ABSENT: Final = object()


@dataclass(frozen=True)
class Changes:
    """The keys that have changed since a snapshot. It is false if there are none.

    Attributes:
        changed: the values of new and changed keys, as they are stored.
        removed: the keys that no longer exist.
        values: the values of new and changed keys, as the application has them.
        known: a copy of these values that can be compared: texts, or types and values. Lists and dicts of the
            application may change while the changes are being written.

    """

    changed: dict[str, Any]
    removed: list[str]
    values: dict[str, Any] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


NO_CHANGES: Final = Changes({}, [])


class Snapshot:
    """The values of a session when it was loaded or saved.

    Their texts are compared, so a change inside a list or dict counts, and assigning an equal value does not. To encode
    a value takes time, so the text is taken only of values that the application can change in place.
    """

    def __init__(self, values: Values, *, notes_reads: bool = False) -> None:
        """Take an empty snapshot. `notes_reads` promises that `before_read` is called before the application gets a
        value. The others are then not encoded.
        """
        self._values = values
        self._notes_reads = notes_reads
        self._known: dict[str, Any] = {}
        self._texts: dict[str, str] = {}

    def load(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Take a snapshot of stored values, and return them as the application gets them."""
        load = self._values.load
        loaded = {key: load(value) if type(value) is dict else value for key, value in stored.items()}
        self._known, self._texts = loaded, {}
        if not self._notes_reads:
            for key, value in loaded.items():
                self.before_read(key, value)
        return loaded.copy()

    def before_read(self, key: str, value: Any) -> None:
        """Note the value of a key as it is before the application can change it in place."""
        if type(value) not in IMMUTABLE and key not in self._texts and self._known.get(key, _ABSENT) is value:
            self._texts[key] = self._text(self._values.dump(value))

    def compare(self, current: Mapping[str, Any]) -> Changes:
        """Return what has changed. Raises as `Values.dump` does."""
        changed: dict[str, Any] = {}
        values: dict[str, Any] = {}
        known: dict[str, Any] = {}
        for key, value in current.items():
            before = self._known.get(key, _ABSENT)
            if value is before and key not in self._texts:
                continue
            if type(value) in _COMPARABLE:
                if type(value) is type(before) and value == before:
                    continue
                stored, known[key] = value, (type(value), value)
            else:
                stored = self._values.dump(value)
                text = self._text(stored)
                if text == self._text_before(key):
                    continue
                known[key] = text
            changed[key], values[key] = stored, value
        return Changes(changed, [key for key in self._known if key not in current], values, known)

    def apply(self, changes: Changes) -> None:
        """Move the snapshot to the time when the changes were computed, because they have been stored."""
        for key in changes.removed:
            self.forget(key)
        for key, value in changes.values.items():
            self._note(key, value, changes.known[key])

    def note(self, key: str, value: Any) -> None:
        """Note the value of a key that was stored in another way."""
        self._note(key, value, None if type(value) in IMMUTABLE else self._text(self._values.dump(value)))

    def forget(self, key: str) -> None:
        """Note that a key was removed in another way."""
        self._known.pop(key, None)
        self._texts.pop(key, None)

    def _note(self, key: str, value: Any, text: Any) -> None:
        self.forget(key)
        self._known[key] = value
        if type(value) not in IMMUTABLE:
            self._texts[key] = text

    def _text_before(self, key: str) -> str | None:
        if key in self._texts:
            return self._texts[key]
        # The application has not read it, so it has not changed it in place.
        return self._text(self._values.dump(self._known[key])) if key in self._known else None

    def _text(self, stored: Any) -> str:
        try:
            return _encode(stored)
        except (ValueError, RecursionError) as error:
            raise InvalidMetadataError("a session value cannot be represented as JSON") from error
