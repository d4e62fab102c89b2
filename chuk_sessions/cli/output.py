"""Output: tables for people, or one JSON object per line. Only results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

_WIDE = 10_000
"""Columns of text that is not shown on a terminal, so that nothing is cut off."""

_GAP = "  "
"""What separates columns."""


class Output:
    """The output of a command.

    Attributes:
        json: whether results are printed as JSON.

    """

    def __init__(self, *, as_json: bool) -> None:
        self.json = as_json

    @property
    def is_terminal(self) -> bool:
        """Whether stdout is a terminal."""
        return sys.stdout.isatty()

    def rows(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Print rows: a table of these columns, or each row with all of its fields as a JSON object."""
        if self.json:
            for row in rows:
                self._write_json(row)
        elif self.is_terminal:
            self.show(_rows(columns, rows))
        else:
            # A table of Rich would need 5 KB of memory for each row.
            sys.stdout.writelines(_plain(columns, rows))
            sys.stdout.flush()

    def fields(self, fields: Mapping[str, Any]) -> None:
        """Print the fields of one thing: one line each, or one JSON object."""
        if self.json:
            self._write_json(fields)
        else:
            self.show(_fields(fields))

    def tables(self, fields: Mapping[str, Any], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Any:
        """Return a table of fields with a table of rows below it, for `show` and for live views."""
        from rich.console import Group  # noqa: PLC0415

        return Group(_fields(fields), "", _rows(columns, rows))

    def show(self, tables: Any) -> None:
        """Print tables."""
        from rich.console import Console  # noqa: PLC0415

        Console(width=None if self.is_terminal else _WIDE, highlight=False).print(tables)
        sys.stdout.flush()

    def line(self, text: str, fields: Mapping[str, Any]) -> None:
        """Print one line of a stream at once: the text, or the fields as a JSON object."""
        if self.json:
            self._write_json(fields)
        else:
            sys.stdout.write(f"{visible(text)}\n")
            sys.stdout.flush()

    def _write_json(self, fields: Mapping[str, Any]) -> None:
        # Flushed at once, so that a reader sees each line when it is printed, and a closed pipe is noticed.
        sys.stdout.write(f"{json.dumps(fields)}\n")
        sys.stdout.flush()


def set_up_streams() -> None:
    """Print characters that the encoding of a stream lacks as escapes, and nothing to a closed stream."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # as after `>&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  (open until the exit)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Print a message for people on stderr. It may have several lines."""
    sys.stderr.write("".join(f"{visible(line)}\n" for line in text.splitlines()))
    sys.stderr.flush()


def visible(text: str) -> str:
    """Return text with control characters and line breaks as escapes: they could forge what a terminal shows."""
    if text.isprintable():
        return text
    return "".join(part if part.isprintable() else ascii(part)[1:-1] for part in text)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if value is None:
        text = "-"
    elif isinstance(value, str):
        text = value
    elif _is_number(value):
        text = f"{value:,}"
    elif isinstance(value, list | tuple):
        text = ", ".join(map(str, value)) or "-"
    else:
        text = json.dumps(value, ensure_ascii=False)
    return visible(text)


def _cell(value: Any, *, is_column: bool = False) -> Any:
    from rich.text import Text  # noqa: PLC0415  (JSON does not need rich, which takes long to import)

    # Rich interprets markup in strings, and not in Text.
    return Text(_text(value), justify="right" if _is_number(value) and is_column else "left")


def _short(column: str, value: Any) -> Any:
    """Return a time without its fraction, so that tables fit on a terminal; other values as they are."""
    return value[:19].replace("T", " ") if column.endswith("_at") and isinstance(value, str) else value


def _plain(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table for files and pipes."""
    from rich.cells import cell_len  # noqa: PLC0415

    found = [[_short(column, row.get(column)) for column in columns] for row in rows]
    titles = [column.replace("_", " ") for column in columns]
    widths = [cell_len(title) for title in titles]
    for values in found:
        widths = [max(width, cell_len(_text(value))) for width, value in zip(widths, values, strict=True)]

    def aligned(value: Any, width: int) -> str:
        text = _text(value)
        space = " " * (width - cell_len(text))
        return space + text if _is_number(value) else text + space

    for values in ([*titles], *found):
        yield _GAP.join(map(aligned, values, widths)).rstrip() + "\n"


def _rows(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Any:
    table = _table([column.replace("_", " ") for column in columns])
    for row in rows:
        table.add_row(*[_cell(_short(column, row.get(column)), is_column=True) for column in columns])
    return table


def _fields(fields: Mapping[str, Any]) -> Any:
    table = _table(["", ""], header=False)
    for name, value in fields.items():
        table.add_row(_cell(name.replace("_", " ")), _cell(value))
    return table


def _table(columns: Sequence[str], *, header: bool = True) -> Any:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, show_header=header, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
