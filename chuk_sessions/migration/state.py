"""The state of a migration: how far each part of the source has been read. It survives the process."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .source import Part

_FORMAT: Final = 1


class State:
    """The checkpoints of a migration, in a file or, without one, in memory.

    A part is complete until its layout changes, because sessions may then have moved to it from another part.
    """

    def __init__(self, path: Path | None = None, *, subject: str = "") -> None:
        """Read the file, if it exists. `subject` says which migration it belongs to.

        Raises:
            ValueError: the file is not a state, or that of another migration.
            OSError: the file cannot be read.

        """
        self._path = path
        self._subject = subject
        self._layouts: dict[str, str] = {}
        self._cursors: dict[str, str] = {}
        self._done: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        if path is not None and path.exists():
            self._load(path)

    def begin(self, parts: Sequence[Part]) -> list[Part]:
        """Return the parts that are not complete. The reading of those whose layout has changed starts again."""
        layouts = {part.name: part.layout for part in parts}
        changed = {name for name, layout in layouts.items() if self._layouts.get(name, layout) != layout}
        self._cursors = {name: at for name, at in self._cursors.items() if name in layouts and name not in changed}
        self._layouts = layouts
        return [part for part in parts if self._done.get(part.name) != part.layout]

    def cursor(self, part: Part) -> str:
        """Return the cursor at which to go on."""
        return self._cursors.get(part.name, "")

    def advance(self, part: Part, cursor: str, counts: Mapping[Any, int]) -> None:
        """Note a cursor, or with an empty one, that the part is complete; and write the file."""
        if cursor:
            self._cursors[part.name] = cursor
        else:
            self._cursors.pop(part.name, None)
            self._done[part.name] = part.layout
        self.counts = {str(name): number for name, number in counts.items()}
        self._save()

    def restart(self) -> None:
        """Begin from the start, for another migration of the same sessions."""
        self._layouts, self._cursors, self._done, self.counts = {}, {}, {}, {}
        self._save()

    def _save(self) -> None:
        """Replace the file in one step, so that it is always complete."""
        if self._path is None:
            return
        text = json.dumps(
            {
                "format": _FORMAT,
                "subject": self._subject,
                "layouts": self._layouts,
                "cursors": self._cursors,
                "done": self._done,
                "counts": self.counts,
            }
        )
        new = self._path.with_name(f"{self._path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)

    def _load(self, path: Path) -> None:
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if found["format"] != _FORMAT:
                raise ValueError("unknown format")
            subject, self._layouts, self._cursors = found["subject"], found["layouts"], found["cursors"]
            self._done, self.counts = found["done"], found["counts"]
            if not all(isinstance(each, dict) for each in (self._layouts, self._cursors, self._done, self.counts)):
                raise ValueError("a part is malformed")
            if not all(type(number) is int for number in self.counts.values()):
                raise ValueError("a count is malformed")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{path} is not the state of a migration") from error
        if subject != self._subject:
            raise ValueError(f"{path} is the state of another migration: {subject}")
