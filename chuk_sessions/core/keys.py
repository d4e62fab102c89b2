"""Names of keys. All keys of a session, its indexes included, have the hash tag of its bucket and so share a slot.

| key | type | holds |
|---|---|---|
| `chuk1:{T}/SANDBOX/s/HANDLE` | hash | the session |
| `chuk1:{T}/SANDBOX/o/HANDLE` | sorted set | operation id → ms until which the session remembers it |
| `chuk1:{T}/SANDBOX/c/HANDLE` | sorted set | operation id of a creation → ms until which the id remembers it |
| `chuk1:{T}/SANDBOX/a/HANDLE` | hash | the marker of an id that was adopted, see `adoption` |
| `chuk1:{T}/SANDBOX/deadlines` | sorted set | handle → ms at which the session expires (half less: emits events) |
| `chuk1:{T}/SANDBOX/users` | sorted set | handle → hash of the user id |
| `chuk1:{T}/SANDBOX/n/USER` | sorted set | bucket → ms at which its note was last refreshed; USER is a user's hash |
| `chuk1:{T}/SANDBOX/p/HANDLE` | hash | a used proof or assertion, by the hash of its id, see `single_use` |
| `chuk1:{T}/sandboxes` | sorted set | sandbox → ms at which its first session expires |
| `chuk1:{T}/events` | stream | the events of the bucket's sessions, see `event_entries` |
| `chuk1:{T}/noted` | sorted set | SANDBOX/USER → ms at which the notes of that user are due for a check |
| `chuk1:{Q}/endpoints` | hash | endpoint → its description |
| `chuk1:{Q}/messages:ENDPOINT` | hash | message → its text |
| `chuk1:{Q}/waiting:ENDPOINT` | sorted set | message → ms at which it is due; in an ordered queue, its place |
| `chuk1:{Q}/dead:ENDPOINT` | sorted set | message → ms at which it became a dead letter |
| `chuk1:{T}/readers` | hash | the state of each event reader, see `reader_operations` |
| `chuk1:{T}/members^READER` | sorted set | process of an event reader → ms at which it last registered |

`T` is one of 256 texts, one for each bucket, and `Q` is that of bucket 0. Their slots are spread evenly over the 16,384
slots of a cluster. Stored data depends on these texts and on the formulas in `ids`: another layout needs another prefix
than `chuk1`.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from . import ids

# Tag b is the two-character text whose slot is next to the middle of the slots 64 b to 64 b + 63.
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
    """The index keys of a sandbox in one bucket, the prefix of its records' keys, and its name."""

    bucket: int
    deadlines: str
    users: str
    sandboxes: str
    records: str
    noted: str
    events: str
    sandbox: bytes

    def notes(self, user: int | str) -> str:
        """Return the key of the notes about a user's strays, from the user's hash. Only the home bucket has notes."""
        return f"{self.records.removesuffix('s/')}n/{user}"

    def used(self, handle: str) -> str:
        """Return the key of an id that may be used once, from its hash. See `single_use`."""
        return f"{self.records.removesuffix('s/')}p/{handle}"


_new = tuple.__new__
"""Builds a named tuple in a third of the time that its constructor takes."""


class SessionKeys(NamedTuple):
    """The handle of a session, the key of its record, and the index that it is in."""

    handle: bytes
    record: str
    index_keys: IndexKeys

    @property
    def operations(self) -> str:
        """The key of the ids of operations that were applied to the session."""
        return operations_of(self.record)

    @property
    def creations(self) -> str:
        """The key of the ids of operations that created or replaced the session. It outlives the session."""
        return _beside(self.record, "c")

    @property
    def marker(self) -> str:
        """The key of the marker that keeps the id from being adopted again. It outlives the session."""
        return _beside(self.record, "a")

    @property
    def reference(self) -> str:
        """The reference of the session."""
        return ids.reference(self.index_keys.bucket, self.handle)


def operations_of(record: str) -> str:
    """Return the key of a session's operation ids from the key of its record."""
    return _beside(record, "o")


def _beside(record: str, kind: str) -> str:
    head, _, handle = record.rpartition("/s/")
    return f"{head}/{kind}/{handle}"


def records_among(keys: Sequence[str]) -> tuple[str, ...]:
    """Return those of the keys that belong to records of sessions."""
    # Neither sandboxes nor handles contain a slash.
    return tuple([key for key in keys if key.count("/") == 3 and key.split("/", 3)[2] == "s"])


def tag(bucket: int) -> str:
    """Return the text of the hash tag of a bucket (0 to 255)."""
    return _TAGS[2 * bucket : 2 * bucket + 2]


@lru_cache(maxsize=4096)
def index(sandbox_id: str, bucket: int) -> IndexKeys:
    """Return the index keys of a sandbox in one bucket."""
    shared = f"chuk1:{{{tag(bucket)}}}/"
    own = f"{shared}{sandbox_id}/"
    return IndexKeys(
        bucket,
        deadlines=f"{own}deadlines",
        users=f"{own}users",
        sandboxes=f"{shared}sandboxes",
        records=f"{own}s/",
        noted=noted(bucket),
        events=events(bucket),
        sandbox=sandbox_id.encode(),
    )


class QueueKeys(NamedTuple):
    """The key of all endpoints, and the keys of the queue of one of them."""

    endpoints: str
    messages: str
    waiting: str
    dead: str


def queue(endpoint_id: str) -> QueueKeys:
    """Return the keys of an endpoint's queue. Those of all endpoints share a slot."""
    shared = f"chuk1:{{{tag(0)}}}/"
    own = [f"{shared}{kind}:{endpoint_id}" for kind in ("messages", "waiting", "dead")]
    return QueueKeys(endpoints(), *own)


def endpoints() -> str:
    """Return the key of the descriptions of all endpoints."""
    return f"chuk1:{{{tag(0)}}}/endpoints"


def sandboxes(bucket: int) -> str:
    """Return the key of the sandboxes that have sessions in a bucket."""
    return f"chuk1:{{{tag(bucket)}}}/sandboxes"


def events(bucket: int) -> str:
    """Return the key of the stream of events of a bucket, of all sandboxes."""
    return f"chuk1:{{{tag(bucket)}}}/events"


def noted(bucket: int) -> str:
    """Return the key of the users whose home bucket this is and who have notes, of all sandboxes."""
    return f"chuk1:{{{tag(bucket)}}}/noted"


def readers(bucket: int) -> str:
    """Return the key of the state of event readers in a bucket."""
    return f"chuk1:{{{tag(bucket)}}}/readers"


def members(bucket: int, reader: str) -> str:
    """Return the key of the processes of an event reader. Only one bucket of each reader has them."""
    # No sandbox has this character in its name.
    return f"chuk1:{{{tag(bucket)}}}/members^{reader}"


def find(sandbox_id: str, session_id: object) -> SessionKeys | None:
    """Return the keys of the session with that id, or None for a value that is not an id, see `ids.is_name`."""
    if type(session_id) is not str:
        if not isinstance(session_id, str):
            return None
        # A subclass may redefine length, hash and equality. Only plain text gets into the cache.
        session_id = str.__str__(session_id)
    if len(session_id) > ids.MAX_ID_LENGTH:
        return None
    recent, indexes = _SANDBOXES.get(sandbox_id) or _add_sandbox(sandbox_id)
    found = recent.get(session_id)
    if found is not None:
        return found
    # Among many sessions, nearly every call comes here, so the steps of `ids.locate` are written out.
    bucket = ids.bucket_mark(session_id[-35:-32])
    if bucket is not None and ids.is_marked(session_id):
        index_keys = indexes[bucket]
        handle = b2a_base64(sha256(session_id.encode()).digest()[:16]).translate(ids.TO_URL_SAFE, ids.NOT_IN_HANDLES)
    else:
        located = ids.locate(session_id)
        if located is None:
            return None
        index_keys, handle = indexes[located[0]], located[1]
    found = _new(SessionKeys, (handle, index_keys.records + handle.decode(), index_keys))
    if len(recent) >= _RECENT_IDS:
        recent.clear()
    recent[session_id] = found
    return found


_RECENT_IDS = 1024
"""The ids of a sandbox that `find` remembers: enough for the calls of the requests that are being handled."""
_MAX_SANDBOXES = 64
"""The sandboxes whose recent ids `find` remembers."""


class _Indexes(dict[int, IndexKeys]):
    """The index keys of a sandbox by bucket, built when they are needed first."""

    def __init__(self, sandbox_id: str) -> None:
        super().__init__()
        self._sandbox_id = sandbox_id

    def __missing__(self, bucket: int) -> IndexKeys:
        self[bucket] = found = index(self._sandbox_id, bucket)
        return found


_SANDBOXES: dict[str, tuple[dict[str, SessionKeys], _Indexes]] = {}
"""The recent ids of each sandbox, and its index keys."""


def _add_sandbox(sandbox_id: str) -> tuple[dict[str, SessionKeys], _Indexes]:
    if len(_SANDBOXES) >= _MAX_SANDBOXES:
        _SANDBOXES.clear()
    return _SANDBOXES.setdefault(sandbox_id, ({}, _Indexes(sandbox_id)))


def find_reference(sandbox_id: str, reference: object) -> SessionKeys | None:
    """Return the keys of the session with that reference, or None for a value that is not a reference."""
    parsed = ids.parse_reference(reference)
    return None if parsed is None else session_keys_for_handle(sandbox_id, *parsed)


def new_session_keys(sandbox_id: str, session_id: str, bucket: int) -> SessionKeys:
    """Return the keys of a session with an id that was just generated in `bucket`. They are not remembered."""
    index_keys = (_SANDBOXES.get(sandbox_id) or _add_sandbox(sandbox_id))[1][bucket]
    handle = b2a_base64(sha256(session_id.encode()).digest()[:16]).translate(ids.TO_URL_SAFE, ids.NOT_IN_HANDLES)
    return _new(SessionKeys, (handle, index_keys.records + handle.decode(), index_keys))


def session_keys(sandbox_id: str, session_id: str) -> SessionKeys:
    """Return the keys of the session with that id. Raises ValueError for text that is not a valid id."""
    found = find(sandbox_id, session_id)
    if found is None:
        raise ValueError("this is not a session id")
    return found


def session_keys_for_handle(sandbox_id: str, bucket: int, handle: bytes) -> SessionKeys:
    """Return the keys of the session with that handle."""
    return _session_keys(index(sandbox_id, bucket), handle, handle.decode())


def session_keys_for_entry(index_keys: IndexKeys, entry: bytes) -> SessionKeys:
    """Return the keys for an index entry. An entry that is not a handle gets a key that no record has."""
    return _session_keys(index_keys, entry, entry.decode("ascii", "replace"))


def session_keys_to_delete(targets: Sequence[SessionKeys]) -> tuple[str, ...]:
    """Return all keys of sessions that may be deleted: the record and the operation ids of each."""
    return tuple([key for target in targets for key in (target.record, target.operations)])


def pointer_to(target: SessionKeys, bucket: int) -> bytes:
    """Return the pointer to store for a rotated id in `bucket`.

    It is the target's handle, or its reference if it is in another bucket.
    """
    return target.handle if target.index_keys.bucket == bucket else target.reference.encode()


def session_keys_for_pointer(sandbox_id: str, bucket: int, pointer: bytes) -> SessionKeys:
    """Return the keys of the session that a rotated id in `bucket` points to.

    Raises ValueError for bytes that are not a pointer.
    """
    if ids.is_handle(pointer):
        return session_keys_for_handle(sandbox_id, bucket, pointer)
    found = find_reference(sandbox_id, pointer.decode())
    if found is None:
        raise ValueError("this is not a pointer")
    return found


def _session_keys(index_keys: IndexKeys, handle: bytes, text: str) -> SessionKeys:
    return _new(SessionKeys, (handle, index_keys.records + text, index_keys))
