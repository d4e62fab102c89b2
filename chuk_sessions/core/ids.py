"""Session ids: generation, checks, buckets, and the handles that stand for them in keys.

A generated id has the form `sess-{user}-{unix seconds}-{BB}{32 hex digits}`. `user` is the first eight ASCII letters
and digits of the user id; without any, this part is left out. `BB` is the bucket in hex. The 32 digits are 128 bits
from `secrets`, twice the 64 bits of entropy that the OWASP Session Management Cheat Sheet requires.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from base64 import b64decode
from binascii import b2a_base64, crc_hqx
from functools import lru_cache

BUCKETS = 256
MAX_ID_LENGTH = 200

# Visible ASCII without the characters that have a meaning in keys (`{}` hash tag, `/`, `^` of packed handles) or globs.
_NAME = re.compile(r"[!-)+-.0->@-Z_-z|~]+", re.ASCII).fullmatch
_GENERATED = re.compile(r"sess-((?:[A-Za-z0-9]{1,8}-)?)([1-9][0-9]{9,11})-[0-9a-f]{34}", re.ASCII).fullmatch
_HANDLE_MARK = "^"
_URL_SAFE = b"-_"
_TO_URL_SAFE = bytes.maketrans(b"+/", _URL_SAFE)


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
    return new_id_and_handle(user_id, bucket)[0]


def new_id_and_handle(user_id: str | None, bucket: int) -> tuple[str, str]:
    """Generate an id, and return it with the handle that `locate` would return for it."""
    owner = _owner_part(user_id) if user_id else ""
    now, random = int(time.time()), secrets.token_hex(16)
    return f"sess-{owner}{now}-{bucket:02x}{random}", _handle(owner, now, bytes.fromhex(random))


@lru_cache(maxsize=4096)
def _owner_part(user_id: str) -> str:
    letters = re.sub(r"[^A-Za-z0-9]", "", user_id)[:8]
    return f"{letters}-" if letters else ""


def locate(session_id: str) -> tuple[int, str] | None:
    """Return the bucket (0 to 255) and the handle of an id, or None for a text that `is_name` refuses.

    Both depend on the text alone, and `id_of` is the inverse. A generated id contains its bucket. The bucket of any
    other id is its CRC16 (XMODEM, as in the Redis Cluster specification, "Key distribution model") modulo 256.

    The handle is the form of the id in keys and indexes. For a generated id, it is `^`, the user part, and time (5
    bytes) and random part (16 bytes) in base64, which saves about 60 bytes per session on the server. Any other id is
    its own handle.
    """
    generated = _GENERATED(session_id)
    if not generated:
        if not is_name(session_id):
            return None
        return crc_hqx(session_id.encode(), 0) % BUCKETS, session_id
    owner, seconds = generated.groups()
    digits = bytes.fromhex(session_id[-34:])
    return digits[0], _handle(owner, int(seconds), digits[1:])


def _handle(owner: str, seconds: int, random: bytes) -> str:
    packed = seconds.to_bytes(5) + random
    return f"{_HANDLE_MARK}{owner}{b2a_base64(packed, newline=False).translate(_TO_URL_SAFE).decode()}"


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


def is_generated(handle: bytes) -> bool:
    """Return whether a handle belongs to a generated id, which no other session ever has."""
    return handle.startswith(_HANDLE_MARK.encode())


def id_of(handle: str, bucket: int) -> str:
    """Return the id of a handle in `bucket`.

    Raises:
        ValueError: it is not a handle in that bucket.

    """
    if not handle.startswith(_HANDLE_MARK):
        return handle
    owner, packed = handle[1:-28], b64decode(handle[-28:], _URL_SAFE, validate=True)
    session_id = f"sess-{owner}{int.from_bytes(packed[:5])}-{bucket:02x}{packed[5:].hex()}"
    if locate(session_id) != (bucket, handle):
        raise ValueError("not a handle")
    return session_id
