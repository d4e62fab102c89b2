"""Values of a session, as JSON can store them.

Values that JSON represents exactly are stored as they are. Others pass through the framework's own serializer, and
their text is stored in a wrapper, a dict with the single key `$chuk`. Tuples, UUIDs, or Markup come back as they were,
if the serializer supports them. Bytes are stored as base64. A dict that looks like a wrapper is wrapped, too, so no
value of the application is mistaken for one.

Nothing is ever pickled: whoever can write to the store must not be able to run code.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, Final, Protocol

from ..exceptions import CorruptRecordError, InvalidMetadataError

WRAPPER: Final = "$chuk"
_PLAIN: Final = "plain"
"""The kind of an application's dict that looks like a wrapper."""
_BYTES: Final = "bytes"
"""The kind of bytes, as base64."""
_TEXT: Final = "text"
"""The kind of a text that the serializer has returned."""
_DATA: Final = "data"
"""The kind of bytes that the serializer has returned, as base64."""


class Serializer(Protocol):
    """A framework's serializer, such as Flask's TaggedJSONSerializer or Django's JSONSerializer."""

    def dumps(self, value: Any, /) -> str | bytes:
        """Return the value as text or bytes."""

    def loads(self, data: Any, /) -> Any:
        """Return the value of what `dumps` has returned."""


class Values:
    """The conversion of a session's values to values that JSON represents exactly, and back."""

    def __init__(self, serializer: Serializer | None = None) -> None:
        """Use a serializer for values that JSON would change; without one, such values are refused."""
        self._serializer = serializer

    def dump(self, value: Any) -> Any:
        """Return the value to store.

        Raises:
            InvalidMetadataError: JSON would change the value, and there is no serializer; or it contains itself.
            Exception: the serializer's own error for a value that it does not support.

        """
        if type(value) is bytes:
            return {WRAPPER: {_BYTES: b64encode(value).decode()}}
        try:
            if is_exact(value):
                return {WRAPPER: {_PLAIN: value}} if _looks_wrapped(value) else value
        except RecursionError:
            raise InvalidMetadataError("a session value is nested too deep, or contains itself") from None
        if self._serializer is None:
            raise InvalidMetadataError(f"a session cannot hold this {type(value).__name__}: JSON would change it")
        data = self._serializer.dumps(value)
        return {WRAPPER: {_TEXT: data} if isinstance(data, str) else {_DATA: b64encode(data).decode()}}

    def load(self, stored: Any) -> Any:
        """Return the value for what `dump` has returned. Anything else is returned as it is.

        Raises:
            CorruptRecordError: the serializer cannot decode the value, or there is no serializer.

        """
        if not _looks_wrapped(stored):
            return stored
        content = stored[WRAPPER]
        kind, data = next(iter(content.items())) if isinstance(content, dict) and len(content) == 1 else ("", None)
        if kind == _PLAIN:
            return data
        if kind not in (_BYTES, _TEXT, _DATA) or not isinstance(data, str):
            return stored
        try:
            if kind == _BYTES:
                return b64decode(data, validate=True)
            return self._decode(data if kind == _TEXT else b64decode(data, validate=True))
        except Exception as error:
            raise CorruptRecordError("a session value cannot be decoded; another serializer may have written it") from (
                error
            )

    def _decode(self, data: str | bytes) -> Any:
        if self._serializer is None:
            raise ValueError("there is no serializer")
        return self._serializer.loads(data)


def is_exact(value: Any) -> bool:
    """Return whether JSON represents the value exactly, with its type and the types of all parts.

    Raises:
        RecursionError: it is nested too deep, or contains itself.

    """
    kind = type(value)
    if value is None or kind in (str, int, bool):
        return True
    if kind is float:
        return bool(value - value == 0)
    if kind is list:
        return all(map(is_exact, value))
    return kind is dict and all(type(key) is str for key in value) and all(map(is_exact, value.values()))


def _looks_wrapped(value: Any) -> bool:
    return type(value) is dict and len(value) == 1 and WRAPPER in value
