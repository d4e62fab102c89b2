"""Names of keys. All keys of a session, its indexes included, carry the hash tag of its bucket and so share a slot.

| key | type | holds |
|---|---|---|
| `chuk1:{T}/SANDBOX/s/HANDLE` | hash | the session |
| `chuk1:{T}/SANDBOX/o/HANDLE` | sorted set | operation id → ms until which it counts, of that session |
| `chuk1:{T}/SANDBOX/deadlines` | sorted set | handle → end in ms |
| `chuk1:{T}/SANDBOX/users` | sorted set | handle → hash of its user |
| `chuk1:{T}/sandboxes` | sorted set | sandbox → its earliest end in ms |

`T` is one of 256 texts, one a bucket, whose slots lie evenly over the 16,384 of a cluster. Texts, handles and the
formulas in `ids` are frozen into stored data: another layout needs another version than `chuk1`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from . import ids

# Tag b is the two-character text whose slot lies next to the middle of the slots 64 b to 64 b + 63.
_TAGS = (
    "4Lbl4HLD9tAxX7z1BJPb6hNd07CXOv7zOI7EaaCg6WE8BuCoMi5e9KAG4wRyK68Y"
    "3AKMYaeezq2SzuXs1aImECyGxQ0sxUZSfhDnVB0L1ZgzkTIRdHFNTb2l3zeZitKr"
    "Qh7faBCD6tPzI5k3SH5F9hAd4TRZ4P8zne8EnaLg24J8MuosBiNClANGOQmWOUmS"
    "fKDMHcjeks60kwIqdkFmJChEiSeyiWKQ3bUlYBeFo32po7M11BWL1Fgffp0PftDr"
    "bn4NLF4JAz9vz3X5NbBHNf6jCZ057xOt7GOKCeacNY6UCmBw5gMkAE9ILy4u38K4"
    "KO3CegYcc8zsXqzwIo1cyEEA0qxSZQxWDlfj0NHBgx1XIPkVFLdJ2nJbeX3xKpiv"
    "7dQjCFQnPx6vk1I75DSJAf9jRX4V8x4R8GngLencT826oqMwNABkNElCCyOSmQOW"
    "DOfIjgHa62kqIskuFodihGJAKWiQKSiUUnwheDGB2ro1M3o5WNuHgdEb0RfrDpfv"
)


class IndexKeys(NamedTuple):
    """The index keys of a sandbox in one bucket, and what its records' keys begin with."""

    bucket: int
    deadlines: str
    users: str
    sandboxes: str
    records: str


class SessionKeys(NamedTuple):
    """Where a session lies: its handle, its record's key, and the index that it is in."""

    handle: bytes
    record: str
    index_keys: IndexKeys

    @property
    def operations(self) -> str:
        """The key of the operation ids that were applied to the session."""
        return operations_of(self.record)


def operations_of(record: str) -> str:
    """Return the key of a session's operation ids, from that of its record."""
    head, _, handle = record.rpartition("/s/")
    return f"{head}/o/{handle}"


def tag(bucket: int) -> str:
    """The hash tag's text of a bucket (0 to 255)."""
    return _TAGS[2 * bucket : 2 * bucket + 2]


@lru_cache(maxsize=4096)
def index(sandbox_id: str, bucket: int) -> IndexKeys:
    """The index keys of a sandbox in one bucket."""
    of_all = f"chuk1:{{{tag(bucket)}}}/"
    own = f"{of_all}{sandbox_id}/"
    return IndexKeys(bucket, f"{own}deadlines", f"{own}users", f"{of_all}sandboxes", f"{own}s/")


def sandboxes(bucket: int) -> str:
    """The key that names the sandboxes of a bucket."""
    return f"chuk1:{{{tag(bucket)}}}/sandboxes"


def find(sandbox_id: str, session_id: object) -> SessionKeys | None:
    """Where the session of that id lies; None for what can be no id, see `ids.is_name`."""
    if type(session_id) is not str:
        if not isinstance(session_id, str):
            return None
        # Whatever else a subclass does about length, hash and equality: only plain text gets into the cache.
        session_id = str.__str__(session_id)
    return _find(sandbox_id, session_id) if len(session_id) <= ids.MAX_ID_LENGTH else None


@lru_cache(maxsize=8192)
def _find(sandbox_id: str, session_id: str) -> SessionKeys | None:
    located = ids.locate(session_id)
    if located is None:
        return None
    bucket, handle = located
    return _session_keys(index(sandbox_id, bucket), handle.encode(), handle)


def session_keys(sandbox_id: str, session_id: str) -> SessionKeys:
    """The same for an id that must be one. Raises ValueError where it is none."""
    found = find(sandbox_id, session_id)
    if found is None:
        raise ValueError("this can be no session id")
    return found


def session_keys_for_handle(sandbox_id: str, bucket: int, handle: bytes) -> SessionKeys:
    """The same from a handle, as indexes and replies hold it."""
    return _session_keys(index(sandbox_id, bucket), handle, handle.decode())


def session_keys_for_entry(index_keys: IndexKeys, entry: bytes) -> SessionKeys:
    """Return the place of an index entry. An entry that is no handle is given the key of no record."""
    return _session_keys(index_keys, entry, entry.decode("ascii", "replace"))


def pointer_to(target: SessionKeys, bucket: int) -> bytes:
    """Return what a rotated id in `bucket` points to: the target's handle, after its bucket in hex if that differs."""
    return (
        target.handle if target.index_keys.bucket == bucket else b"%02x/%s" % (target.index_keys.bucket, target.handle)
    )


def session_keys_for_pointer(sandbox_id: str, bucket: int, pointer: bytes) -> SessionKeys:
    """Return where the session is that a rotated id in `bucket` points to. No handle contains a slash."""
    foreign, _, handle = pointer.rpartition(b"/")
    return session_keys_for_handle(sandbox_id, int(foreign, 16) if foreign else bucket, handle)


def _session_keys(index_keys: IndexKeys, handle: bytes, text: str) -> SessionKeys:
    # What a named tuple does to make one, in a third of the time: with many sessions every call comes here.
    return tuple.__new__(SessionKeys, (handle, index_keys.records + text, index_keys))
