"""Keys with ids, as the environment holds them: `ID:BASE64,ID:BASE64`. No error message contains a key."""

from __future__ import annotations

import binascii
from base64 import b64decode
from re import compile as pattern

_IS_ID = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}").fullmatch
_IS_LIKE_A_KEY = pattern(r"[A-Za-z0-9_-]{43,}").fullmatch


def check_id(key_id: object) -> str:
    """Return the id of a key. Raises ValueError for a malformed id, without showing it, because it may be a key."""
    if not isinstance(key_id, str) or not _IS_ID(key_id):
        raise ValueError("a key id must be 1 to 64 letters, digits, dots, underscores, or hyphens, such as 2026-11")
    if _IS_LIKE_A_KEY(key_id):
        raise ValueError("the id of a key looks like a key itself; give ID:BASE64, and ids of fewer than 43 characters")
    return key_id


def pairs(text: str, kind: str) -> dict[str, str]:
    """Return ids and base64 texts of the keys in a text. Line breaks may separate them, too. Lines that begin with `#`
    are comments. `kind` describes the keys in error messages.

    Raises:
        ValueError: the text is malformed.

    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    items = [item.strip() for item in ",".join(lines).split(",") if item.strip()]
    found = [item.partition(":") for item in items]
    if any(not colon for _, colon, _ in found):
        raise ValueError(f"{kind} keys must be given as ID:BASE64,ID:BASE64")
    keys = {key_id.strip(): key.strip() for key_id, _, key in found}
    if len(keys) < len(found):
        raise ValueError(f"an id of an {kind} key is given twice")
    return keys


def decoded(text: str) -> bytes:
    """Return the bytes of a base64 text, in the usual or the URL-safe alphabet; none for any other text."""
    try:
        return b64decode(
            text.strip().replace("-", "+").replace("_", "/") + "=" * (-len(text.strip()) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        return b""
