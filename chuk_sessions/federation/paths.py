"""Paths in grants: relative to a session, with the rules of grid paths for each segment.

A grant for `doc1` covers `doc1` and `doc1/page`, but not `doc10`. The empty path covers everything.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from ..core import grid

MAX_PATH_LENGTH: Final = 1024
_MOST_DECODINGS: Final = 4


def is_path(text: object) -> bool:
    """Return whether a text is a path: empty, or segments that `grid.parse` accepts, separated by slashes.

    A path that only becomes unsafe when percent encodings in it are decoded is no path either, because a web server may
    decode them later.
    """
    return text == "" or (type(text) is str and len(text) <= MAX_PATH_LENGTH and _has_safe_segments(text))


# A service reads the same paths again and again, and each check takes some µs.
@lru_cache(maxsize=1024)
def _has_safe_segments(text: str) -> bool:
    for _ in range(_MOST_DECODINGS):
        if grid.parse(f"{grid.ROOT}/-/-/{text}") is None:
            return False
        decoded = unquote(text, errors="surrogateescape")
        if decoded == text:
            return True
        if decoded.count("/") != text.count("/"):
            return False
        text = decoded
    return False


def check_path(text: object) -> str:
    """Return the path of a grant without a slash at its end. Raises ValueError for a text that is no path."""
    path = text[:-1] if isinstance(text, str) and text != "/" and text.endswith("/") else text
    if not isinstance(path, str) or not is_path(path):
        raise ValueError(
            f"a path must have at most {MAX_PATH_LENGTH} characters, and segments without backslashes or control "
            "characters that are neither empty nor '.' or '..', not even in percent encoding"
        )
    return path


def covers(granted: str, path: object) -> bool:
    """Return whether a grant for the path `granted` covers `path`, which may be any text from a client."""
    return is_path(path) and (granted in ("", path) or str(path).startswith(f"{granted}/"))
