"""The layout of keys, read backwards: the kind, bucket, and sandbox of a key that a scan has found."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..core import ids, keys

PREFIX: Final = "chuk1:"

_KEY = re.compile(r"chuk1:\{(..)\}/(?:([^/]+)/)?(?:([a-z])/)?([^/]+)")
_BUCKETS: Final = {keys.tag(bucket): bucket for bucket in range(ids.BUCKETS)}
_IN_SANDBOX: Final = {
    "s": "hash",
    "o": "zset",
    "c": "zset",
    "n": "zset",
    "p": "hash",
    "a": "hash",
    "deadlines": "zset",
    "users": "zset",
}
_SHARED: Final = {
    "sandboxes": "zset", "events": "stream", "noted": "zset", "endpoints": "hash", "messages": "hash",
    "waiting": "zset", "dead": "zset", "readers": "hash", "members": "zset",
}  # fmt: skip
TYPES: Final = {**_IN_SANDBOX, **_SHARED}
"""The type of each kind of key, as TYPE returns it."""


class KeyName(NamedTuple):
    """A key of this library.

    Attributes:
        key: its text.
        kind: `s`, `deadlines`, and so on: a key of TYPES.
        bucket: the bucket whose tag it has.
        sandbox_id: the sandbox; empty for a key that all sandboxes share.
        rest: the handle, the hash of the user, the endpoint, or the reader; empty for other kinds.

    """

    key: str
    kind: str
    bucket: int
    sandbox_id: str
    rest: str


def parse(key: bytes) -> KeyName | None:
    """Return the parts of a key, or None for one that this version of the library does not write."""
    text = key.decode("utf-8", "replace")
    match = _KEY.fullmatch(text)
    bucket = _BUCKETS.get(match[1]) if match else None
    if match is None or bucket is None:
        return None
    sandbox, letter, last = match[2], match[3], match[4]
    if sandbox is None:
        kind, _, rest = last.partition("^" if last.startswith("members^") else ":")
        return KeyName(text, kind, bucket, "", rest) if kind in _SHARED else None
    kind, rest = (letter, last) if letter else (last, "")
    return KeyName(text, kind, bucket, sandbox, rest) if kind in _IN_SANDBOX else None


def pattern(sandbox_id: str | None) -> str:
    """Return the glob pattern of the keys of a sandbox, or of all keys. Sandboxes have no characters of globs."""
    return f"{PREFIX}*" if sandbox_id is None else f"{PREFIX}{{??}}/{sandbox_id}/*"
