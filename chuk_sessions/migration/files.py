"""Files of sessions: JSON lines, one for each session, with its times. They have references, and never an id.

The deadline is absolute, so that a session expires as it would have. Values are either decrypted or as they are stored.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from ..core import ids
from ..core.record import Record
from ..core.values import json_codec
from ..exceptions import CorruptRecordError, KeyUnavailableError
from ..models import ValueEncryption
from .own_format import COPIED, SandboxSource
from .source import Found, SourceSession, Unreadable

FORMAT: Final = 1
_PAGE_BYTES: Final = 262_144
_NUMBERS: Final = ("created", "deadline", "accessed", "idle", "version")


async def export_lines(source: SandboxSource, *, as_stored: bool = False) -> AsyncIterator[dict[str, Any]]:
    """Yield the sessions of a sandbox as dicts for JSON, in no particular order.

    With `as_stored`, values stay encrypted. Sessions that cannot be read are yielded with the key `unreadable`.
    """
    for part in await source.parts():
        cursor = ""
        while True:
            found, cursor = await part.page(cursor, as_stored)
            for each in found:
                yield _to_json(each)
            if not cursor:
                break


def _to_json(found: Found) -> dict[str, Any]:
    if isinstance(found, Unreadable):
        return {"format": FORMAT, "reference": found.name, "unreadable": found.reason}
    line: dict[str, Any] = {
        "format": FORMAT,
        "reference": ids.reference(found.bucket, found.handle),
        "sandbox_id": found.sandbox_id,
    }
    if found.origin is not None:
        return {**line, "stored": _encoded(found.origin)}
    numbers = {name: getattr(found, name) for name in _NUMBERS}
    return {
        **line, **numbers, "user_id": found.user_id, "custom_metadata": found.metadata,
        "fields": _encoded(found.fields),
    }  # fmt: skip


def _encoded(fields: Any) -> dict[str, str]:
    return {name.decode("latin-1"): b64encode(value).decode() for name, value in fields.items()}


def _decoded(fields: Any) -> dict[bytes, bytes]:
    return {name.encode("latin-1"): b64decode(value, validate=True) for name, value in fields.items()}


class FileSource:
    """A file of exported sessions."""

    def __init__(self, path: Path, encryption: ValueEncryption | None = None) -> None:
        """Create a source. `encryption` is needed for values that were exported as they are stored."""
        self.path = path
        self._codec = json_codec if encryption is None else encryption.codec

    async def parts(self) -> Sequence[_Lines]:
        """Return the file as one part."""
        return [_Lines(self)]

    async def remove(self, _session: SourceSession) -> bool:
        """Return False: a file is left as it is."""
        return False

    def parse(self, line: bytes, number: int) -> Found:
        """Return the session in a line."""
        name = f"byte {number}"
        try:
            data = json.loads(line)
            if not isinstance(data, dict) or data.get("format") != FORMAT:
                return Unreadable(name, "it is no line of an export")
            name = str(data["reference"])[:40]
            if "unreadable" in data:
                return Unreadable(name, str(data["unreadable"]))
            place = ids.parse_reference(data["reference"])
            if place is None or not ids.is_name(data["sandbox_id"], 128):
                return Unreadable(name, "its reference or sandbox is malformed")
            return self._stored(data, place) if "stored" in data else _plain(data, place)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return Unreadable(name, f"it is no line of an export: {type(error).__name__}")
        except (CorruptRecordError, KeyUnavailableError) as error:
            return Unreadable(name, str(error))

    def _stored(self, data: dict[str, Any], place: tuple[int, bytes]) -> SourceSession:
        values = self._codec(data["sandbox_id"])
        flat = [part for pair in _decoded(data["stored"]).items() for part in pair]
        return SandboxSource.session(*place, data["sandbox_id"], Record.from_reply(flat, values))


def _plain(data: dict[str, Any], place: tuple[int, bytes]) -> SourceSession:
    numbers = {name: data[name] for name in _NUMBERS}
    if not all(type(number) is int and 0 <= number < 10**15 for number in numbers.values()):
        raise ValueError("a number is malformed")
    user_id, metadata = data["user_id"], data["custom_metadata"]
    if not isinstance(user_id, str | None) or not isinstance(metadata, dict):
        raise TypeError("user or metadata")
    fields = _decoded(data["fields"])
    if not all(name[:2] in COPIED for name in fields):
        raise ValueError("a field is unknown")
    return SourceSession(*place, data["sandbox_id"], user_id, **numbers, metadata=metadata, fields=fields)


class _Lines:
    """The lines of a file. The cursor is an offset in bytes."""

    layout = ""

    def __init__(self, source: FileSource) -> None:
        self.name = str(source.path)
        self._source = source

    async def page(self, cursor: str) -> tuple[list[Found], str]:
        """Return the sessions in the next lines."""
        with self._source.path.open("rb") as file:
            file.seek(int(cursor or 0))
            found = []
            first = file.tell()
            while (line := file.readline()) and file.tell() - first < _PAGE_BYTES:
                if line.strip():
                    found.append(self._source.parse(line, file.tell() - len(line)))
            if line and line.strip():
                found.append(self._source.parse(line, file.tell() - len(line)))
            return found, str(file.tell()) if line else ""
