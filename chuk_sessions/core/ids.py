"""Session ids: generation, checks, buckets, and the handles and references that stand for them.

A generated id has the form `sess-{user}-{unix seconds}-{BB}{32 hex digits}`. `user` is the first eight ASCII letters
and digits of the user id; without any, this part is left out. `BB` is the bucket in hex. The 32 digits are 128 bits
from `secrets`, twice the 64 bits of entropy that the OWASP Session Management Cheat Sheet requires.

The store and all logs have handles instead of ids: base64url of the first 16 bytes of the id's SHA-256, 22 characters.
A handle identifies a session within its bucket. A reference identifies it everywhere: the bucket as two hex digits, and
the handle. Neither leads back to the id, so neither grants access to the session, unless the id itself can be guessed.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from binascii import b2a_base64
from functools import lru_cache

BUCKETS = 256
MAX_ID_LENGTH = 200

# Visible ASCII without `^` and the characters that have a meaning in keys (`{}` hash tag, `/`) or globs.
_CHARACTER = r"[!-)+-.0->@-Z_-z|~]"
_NAME = re.compile(f"{_CHARACTER}+", re.ASCII).fullmatch
is_marked = re.compile(f"sess-{_CHARACTER}+", re.ASCII).fullmatch
"""Returns whether an id begins like a generated one. If it does, `bucket_mark` may name its bucket. The whole form of
generated ids would take twice the time to check, in each call.
"""
# Possessive quantifiers save a tenth of the time, and match the same texts.
_GENERATED = re.compile(r"sess-(?:[A-Za-z0-9]{1,8}+-)?+[1-9][0-9]{9,11}+-[0-9a-f]{34}+", re.ASCII).fullmatch
# The last character of a handle has only two bits of the hash.
_HANDLE = r"[A-Za-z0-9_-]{21}[AQgw]"
_IS_HANDLE = re.compile(_HANDLE.encode()).fullmatch
_REFERENCE = re.compile(f"([0-9a-f]{{2}})({_HANDLE})", re.ASCII).fullmatch
TO_URL_SAFE, NOT_IN_HANDLES = bytes.maketrans(b"+/", b"-_"), b"=\n"
_sha256 = hashlib.sha256
_BUCKET_OF_HEX = {f"{bucket:02x}": bucket for bucket in range(BUCKETS)}
bucket_mark = {f"-{bucket:02x}": bucket for bucket in range(BUCKETS)}.get
"""Returns the bucket that the three characters before the last 32 of an id name, or None."""


def is_name(text: object, max_length: int = MAX_ID_LENGTH) -> bool:
    r"""Return whether `text` is valid as a session id or sandbox id.

    Valid are 1 to `max_length` visible ASCII characters without any of `{}/^*?[]\`, except `.` and `..`.
    """
    return isinstance(text, str) and len(text) <= max_length and _NAME(text) is not None and text not in (".", "..")


def check_name(text: object, name: str, max_length: int = MAX_ID_LENGTH) -> str:
    """Return `text`. `name` stands for the argument in error messages.

    Raises:
        ValueError: `is_name` refuses `text`.

    """
    if not isinstance(text, str):
        raise ValueError(f"{name} must be a string, not {type(text).__name__}")
    if not is_name(text, max_length):
        raise ValueError(
            f"{name} must be 1 to {max_length} visible ASCII characters without any of {{}}/^*?[]\\, "
            "and not '.' or '..'"
        )
    return text


def new_id(user_id: str | None, bucket: int) -> str:
    """Generate an id in `bucket` (0 to 255)."""
    owner = _owner_part(user_id) if user_id else ""
    return f"sess-{owner}{int(time.time())}-{bucket:02x}{secrets.token_bytes(16).hex()}"


@lru_cache(maxsize=4096)
def _owner_part(user_id: str) -> str:
    letters = re.sub(r"[^A-Za-z0-9]", "", user_id)[:8]
    return f"{letters}-" if letters else ""


def locate(session_id: str) -> tuple[int, bytes] | None:
    """Return the bucket (0 to 255) and the handle of an id, or None for a text that `is_name` refuses.

    Both depend on the text alone. An id that begins with `sess-` and has a dash and two hex digits before its last 32
    characters, as a generated one does, is in the bucket of these digits. The bucket of any other id is the byte of its
    SHA-256 after those of the handle.
    """
    if not is_name(session_id):
        return None
    digest = _sha256(session_id.encode()).digest()
    bucket = bucket_mark(session_id[-35:-32]) if session_id.startswith("sess-") else None
    handle = b2a_base64(digest[:16]).translate(TO_URL_SAFE, NOT_IN_HANDLES)
    return digest[16] if bucket is None else bucket, handle


def handle_of(digest: bytes) -> bytes:
    """Return the handle in a SHA-256. The paths that each call takes have this line inline, which takes less time."""
    return b2a_base64(digest[:16]).translate(TO_URL_SAFE, NOT_IN_HANDLES)


def is_generated(session_id: str) -> bool:
    """Return whether an id has the form of generated ones.

    The engine gives each such id to one session only. A caller may still choose an id of this form, so callers of this
    function may use the result to save a call, and for nothing that protects a session from other clients.
    """
    return _GENERATED(session_id) is not None


def is_handle(entry: bytes) -> bool:
    """Return whether the bytes have the form of a handle."""
    return _IS_HANDLE(entry) is not None


def reference(bucket: int, handle: bytes) -> str:
    """Return the reference of the session with this handle: two hex digits of its bucket, and the handle."""
    return f"{bucket:02x}{handle.decode()}"


def parse_reference(text: object) -> tuple[int, bytes] | None:
    """Return bucket and handle of a reference, or None for anything else."""
    parts = _REFERENCE(text) if isinstance(text, str) else None
    return None if parts is None else (_BUCKET_OF_HEX[parts[1]], parts[2].encode())


def bucket_of(name: bytes) -> int | None:
    """Return the bucket that two hex digits name, or None for other bytes."""
    return _BUCKET_OF_HEX.get(name.decode("latin-1"))


def session_hash(session_id: str) -> str:
    """Return the reference of the session with this id, 24 characters.

    It identifies the session in logs, events and lists, and does not grant access to it. Any text has one, so that text
    from a client can be logged unchecked. Raises ValueError for a value that is not a string.

    A reference cannot be turned back into an id, but a guess can be confirmed. Ids that can be guessed, such as numbers
    chosen by the caller, are therefore not protected.
    """
    if not isinstance(session_id, str):
        raise ValueError(f"session_id must be a string, not {type(session_id).__name__}")
    located = locate(session_id)
    if located is None:
        digest = _sha256(session_id.encode("utf-8", "surrogatepass")).digest()
        located = digest[16], handle_of(digest)
    return reference(*located)


@lru_cache(maxsize=4096)
def home_bucket(sandbox_id: str, user_id: str) -> int:
    """Return the bucket for the ids generated for a user, so that all of the user's sessions share a slot."""
    return hashlib.blake2b(f"{sandbox_id}/".encode() + user_bytes(user_id), digest_size=1).digest()[0]


def random_bucket() -> int:
    """Return a bucket for an id without a user."""
    return secrets.randbelow(BUCKETS)


@lru_cache(maxsize=4096)
def user_hash(user_id: str) -> int:
    """Return 52 bits of a hash of the user id. A sorted set's score, a double, represents all such numbers exactly."""
    return int.from_bytes(hashlib.blake2b(user_bytes(user_id), digest_size=8).digest()) >> 12


def user_bytes(user_id: str) -> bytes:
    """Return a user id as it is stored: in UTF-8, with lone surrogates preserved."""
    return user_id.encode() if user_id.isascii() else user_id.encode("utf-8", "surrogatepass")
