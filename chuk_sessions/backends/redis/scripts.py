"""Loads the scripts: `lua/X.lua` with each `--- @include "name"` replaced by `lua/include/name.lua`, once a script."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ...operations import ALL

_INCLUDE = re.compile(r'^--- @include "([a-z_]+)"\n', re.MULTILINE)
_PACKAGE = Path(__file__).resolve().parents[2]


class Script(NamedTuple):
    """A script's text and the hex SHA-1 of it, by which EVALSHA calls it."""

    text: bytes
    sha: bytes


def folder() -> Path:
    """Where the Lua files are: inside an installed package, or beside it in a checkout."""
    installed = _PACKAGE / "_lua"
    return installed if installed.is_dir() else _PACKAGE.parent / "lua"


def expand(text: str, root: Path, replaced: dict[str, str] | None = None) -> str:
    """`text` with its includes. `replaced` puts other texts in the place of includes: tests move time with it.
    Raises FileNotFoundError for an include that is not there.
    """
    seen: set[str] = set()

    def include(match: re.Match[str]) -> str:
        name = match[1]
        if name in seen:
            return ""
        seen.add(name)
        body = (replaced or {}).get(name) or (root / "include" / f"{name}.lua").read_text(encoding="utf-8")
        return _INCLUDE.sub(include, body)

    return _INCLUDE.sub(include, text)


def load(replaced: dict[str, str] | None = None) -> dict[str, Script]:
    """All scripts by name."""
    root = folder()
    texts = {name: expand((root / f"{name}.lua").read_text(encoding="utf-8"), root, replaced).encode() for name in ALL}
    return {name: Script(text, hashlib.sha1(text).hexdigest().encode()) for name, text in texts.items()}


@cache
def scripts() -> dict[str, Script]:
    """The scripts as they are shipped, loaded once."""
    return load()
