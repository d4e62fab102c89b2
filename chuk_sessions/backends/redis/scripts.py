"""The scripts, loaded from `lua/NAME.lua`.

Each `--- @include "name"` is replaced by `lua/include/name.lua`, once per script, and the name of each status by its
number. `--- @paste "name"` does the same each time, with all that the file includes: functions that few calls need are
created in the branch that needs them, because creating one takes server time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ...core.operation import Arg
from ...core.operations import SCRIPTED
from ...core.statuses import NAMES
from .net.resp import pack

_INCLUDE = re.compile(r'^--- @(include|paste) "([a-z_]+)"\n', re.MULTILINE)
_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)
_STATUSES = {name: number for number, name in NAMES.items()}
_STATUS = re.compile(rf"\b({'|'.join(_STATUSES)})\b")
_PACKAGE = Path(__file__).resolve().parents[2]
_MAX_FRAMES = 64
_KEY = b"{key}"


class Script:
    """A script: its text, and the SHA-1 digest of the text in hex, by which EVALSHA calls it."""

    __slots__ = ("_frames", "sha", "text")

    def __init__(self, text: bytes, sha: bytes) -> None:
        self.text = text
        self.sha = sha
        self._frames: dict[Sequence[Arg], bytes] = {}

    def call(self, keys: Sequence[str], argv: Sequence[Arg]) -> bytes:
        """Return a packed EVALSHA. Raises UnicodeEncodeError for keys with lone surrogates."""
        # The hot path of validations and reads: only the key differs between calls, so the rest is packed once.
        if len(keys) == 1 and argv.__class__ is tuple and len(argv) <= 1:
            frame = self._frames.get(argv)
            if frame is not None:
                key = keys[0].encode()
                return frame % (len(key), key)
            if all(isinstance(arg, int) for arg in argv) and len(self._frames) < _MAX_FRAMES:
                self._frames[argv] = self._frame(argv)
        return pack((b"EVALSHA", self.sha, len(keys), *keys, *argv))

    def call_by_text(self, keys: Sequence[str], argv: Sequence[Arg]) -> bytes:
        """Return a packed EVAL, for a server that does not have the script. It loads the script, too."""
        return pack((b"EVAL", self.text, len(keys), *keys, *argv))

    def _frame(self, argv: Sequence[Arg]) -> bytes:
        """Return a packed EVALSHA on one key, with placeholders for the key and its length."""
        packed = pack((b"EVALSHA", self.sha, 1, _KEY, *argv))
        return packed.replace(b"$%d\r\n%b\r\n" % (len(_KEY), _KEY), b"$%d\r\n%b\r\n")


def folder() -> Path:
    """Return the folder of the Lua files: in the package if it is installed, beside the package in a checkout."""
    installed = _PACKAGE / "_lua"
    return installed if installed.is_dir() else _PACKAGE.parent / "lua"


def expand(text: str, root: Path, replaced: dict[str, str] | None = None) -> str:
    """Return `text` with its includes. Raises FileNotFoundError for an include that does not exist.

    `replaced` maps the names of includes to other texts: tests replace the clock with it.
    """
    seen: set[str] = set()

    def include(match: re.Match[str]) -> str:
        name = match[2]
        body = (replaced or {}).get(name) or (root / "include" / f"{name}.lua").read_text(encoding="utf-8")
        if match[1] == "paste":
            return expand(body, root, replaced)
        if name in seen:
            return ""
        seen.add(name)
        return _INCLUDE.sub(include, body)

    return _INCLUDE.sub(include, text)


def _minified(text: str) -> bytes:
    """Remove comments, and replace names of statuses by numbers: names would cost server time in each call."""
    return _STATUS.sub(lambda match: str(_STATUSES[match[0]]), _COMMENT.sub("", text)).encode()


def load(replaced: dict[str, str] | None = None) -> dict[str, Script]:
    """Load all scripts, by name. See `expand` for `replaced`."""
    root = folder()
    texts = {
        name: _minified(expand((root / f"{name}.lua").read_text(encoding="utf-8"), root, replaced)) for name in SCRIPTED
    }
    return {name: Script(text, hashlib.sha1(text).hexdigest().encode()) for name, text in texts.items()}


@cache
def scripts() -> dict[str, Script]:
    """Return the scripts as they are shipped, loaded once."""
    return load()
