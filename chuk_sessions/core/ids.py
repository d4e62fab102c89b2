"""Session ids: how they are made, checked, sorted into buckets and packed for keys.

An id made here reads `sess-{user}-{unix seconds}-{BB}{32 hex digits}`. `user` is the first eight ASCII letters and
digits of the user id, left out when there are none. `BB` is the bucket in hex, and the 32 digits are 128 bits from
`secrets`: twice the 64 bits that the OWASP Session Management Cheat Sheet asks for.
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

# Visible ASCII without what means something in a key (`{}` hash tag, `/`, `^` of short handles) or in a glob.
_NAME = re.compile(r"[!-)+-.0->@-Z_-z|~]+", re.ASCII).fullmatch
_MADE = re.compile(r"sess-((?:[A-Za-z0-9]{1,8}-)?)([1-9][0-9]{9,11})-[0-9a-f]{34}", re.ASCII).fullmatch
_HANDLE_MARK = "^"
_URL_SAFE = b"-_"
_TO_URL_SAFE = bytes.maketrans(b"+/", _URL_SAFE)


def is_name(text: object, longest: int = MAX_ID_LENGTH) -> bool:
    r"""Whether this can be a session id or sandbox id: 1 to `longest` visible ASCII characters, none of `{}/^*?[]\`,
    and neither `.` nor `..`.
    """
    return isinstance(text, str) and len(text) <= longest and _NAME(text) is not None and text not in (".", "..")


def check_name(text: object, what: str, longest: int = MAX_ID_LENGTH) -> str:
    """`text` when `is_name`, else a ValueError that says what is wrong. `what` names it in the message."""
    if not isinstance(text, str):
        raise ValueError(f"{what} must be a string, not {type(text).__name__}")
    if not is_name(text, longest):
        raise ValueError(
            f"{what} must be 1 to {longest} visible ASCII characters without any of {{}}/^*?[]\\, and not '.' or '..'"
        )
    return text


def new_id(user_id: str | None, bucket: int) -> str:
    """A fresh id in `bucket` (0 to 255)."""
    return new_id_and_handle(user_id, bucket)[0]


def new_id_and_handle(user_id: str | None, bucket: int) -> tuple[str, str]:
    """A fresh id, and the handle that `locate` would find for it."""
    owner = _owner_part(user_id) if user_id else ""
    now, random = int(time.time()), secrets.token_hex(16)
    return f"sess-{owner}{now}-{bucket:02x}{random}", _handle(owner, now, bytes.fromhex(random))


@lru_cache(maxsize=4096)
def _owner_part(user_id: str) -> str:
    letters = re.sub(r"[^A-Za-z0-9]", "", user_id)[:8]
    return f"{letters}-" if letters else ""


def locate(session_id: str) -> tuple[int, str] | None:
    """Bucket (0 to 255) and handle of an id: a pure function of the text, with `id_of` as its inverse. None for what
    can be no id, see `is_name`.

    The bucket is the one that an id made here names, else CRC16 (XMODEM, as in the Redis Cluster specification, "Key
    distribution model") modulo 256. The handle is the short form that keys and indexes hold: `^`, the user part, and
    time (5 bytes) and random part (16 bytes) in base64 for an id made here; any other id as it is. It saves about 60
    bytes a session on the server.
    """
    made = _MADE(session_id)
    if not made:
        if not is_name(session_id):
            return None
        return crc_hqx(session_id.encode(), 0) % BUCKETS, session_id
    owner, seconds = made.groups()
    digits = bytes.fromhex(session_id[-34:])
    return digits[0], _handle(owner, int(seconds), digits[1:])


def _handle(owner: str, seconds: int, random: bytes) -> str:
    packed = seconds.to_bytes(5) + random
    return f"{_HANDLE_MARK}{owner}{b2a_base64(packed, newline=False).translate(_TO_URL_SAFE).decode()}"


@lru_cache(maxsize=4096)
def home_bucket(sandbox_id: str, user_id: str) -> int:
    """The bucket of the ids made for a user, so that a user's sessions share a slot."""
    return hashlib.blake2b(f"{sandbox_id}/".encode() + user_bytes(user_id), digest_size=1).digest()[0]


def random_bucket() -> int:
    """A bucket for an id made for nobody."""
    return secrets.randbelow(BUCKETS)


@lru_cache(maxsize=4096)
def user_hash(user_id: str) -> int:
    """52 bits of the user id, the most that a sorted set's score (a double) carries with room to spare."""
    return int.from_bytes(hashlib.blake2b(user_bytes(user_id), digest_size=8).digest()) >> 12


def user_bytes(user_id: str) -> bytes:
    """A user id as it is stored. Lone surrogates are kept."""
    return user_id.encode() if user_id.isascii() else user_id.encode("utf-8", "surrogatepass")


def is_generated(handle: bytes) -> bool:
    """Whether a handle is that of an id made here, which no other session ever has."""
    return handle.startswith(_HANDLE_MARK.encode())


def id_of(handle: str, bucket: int) -> str:
    """The id that a handle in `bucket` stands for. Raises ValueError for what is no handle."""
    if not handle.startswith(_HANDLE_MARK):
        return handle
    owner, packed = handle[1:-28], b64decode(handle[-28:], _URL_SAFE, validate=True)
    session_id = f"sess-{owner}{int.from_bytes(packed[:5])}-{bucket:02x}{packed[5:].hex()}"
    if locate(session_id) != (bucket, handle):
        raise ValueError("not a handle")
    return session_id
