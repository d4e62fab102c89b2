"""Loads the scripts: `lua/X.lua` with each `--- @include "name"` replaced by `lua/include/name.lua`, once a script, and
each name of a status by its number.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ...core.operation import Arg
from ...core.operations import ALL
from ...core.statuses import NAMES
from .net.resp import pack

_INCLUDE = re.compile(r'^--- @include "([a-z_]+)"\n', re.MULTILINE)
_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)
_STATUSES = {name: number for number, name in NAMES.items()}
_STATUS = re.compile(rf"\b({'|'.join(_STATUSES)})\b")
_PACKAGE = Path(__file__).resolve().parents[2]
_MOST_FRAMES = 64
_KEY = b"{key}"


class Script:
    """A script's text and the hex SHA-1 of it, by which EVALSHA calls it."""

    __slots__ = ("_frames", "sha", "text")

    def __init__(self, text: bytes, sha: bytes) -> None:
        self.text = text
        self.sha = sha
        self._frames: dict[Sequence[Arg], bytes] = {}

    def call(self, keys: Sequence[str], argv: Sequence[Arg]) -> bytes:
        """EVALSHA as it is sent. Raises UnicodeEncodeError for keys with lone surrogates."""
        # In the way of every validation and read: one key, and nothing else that is not the same each time.
        if len(keys) == 1 and argv.__class__ is tuple and len(argv) <= 1:
            frame = self._frames.get(argv)
            if frame is not None:
                key = keys[0].encode()
                return frame % (len(key), key)
            if all(isinstance(arg, int) for arg in argv) and len(self._frames) < _MOST_FRAMES:
                self._frames[argv] = self._frame(argv)
        return pack((b"EVALSHA", self.sha, len(keys), *keys, *argv))

    def call_by_text(self, keys: Sequence[str], argv: Sequence[Arg]) -> bytes:
        """EVAL as it is sent: for a server that does not know the script, and knows it then."""
        return pack((b"EVAL", self.text, len(keys), *keys, *argv))

    def _frame(self, argv: Sequence[Arg]) -> bytes:
        """The call on one key, with a place for that."""
        packed = pack((b"EVALSHA", self.sha, 1, _KEY, *argv))
        return packed.replace(b"$%d\r\n%b\r\n" % (len(_KEY), _KEY), b"$%d\r\n%b\r\n")


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


def _as_sent(text: str) -> bytes:
    """Without comments, and with numbers in the place of statuses: names would cost the server time in each call."""
    return _STATUS.sub(lambda match: str(_STATUSES[match[0]]), _COMMENT.sub("", text)).encode()


def load(replaced: dict[str, str] | None = None) -> dict[str, Script]:
    """All scripts by name."""
    root = folder()
    texts = {name: _as_sent(expand((root / f"{name}.lua").read_text(encoding="utf-8"), root, replaced)) for name in ALL}
    return {name: Script(text, hashlib.sha1(text).hexdigest().encode()) for name, text in texts.items()}


@cache
def scripts() -> dict[str, Script]:
    """The scripts as they are shipped, loaded once."""
    return load()
