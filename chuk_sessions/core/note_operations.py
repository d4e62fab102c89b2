"""The operations on notes about strays: an entry for each script, and a function that builds its calls.

A stray is a session that is not in its user's home bucket. The home bucket has a note for each bucket with strays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from . import ids
from . import statuses as s
from .durations import LATEST_MS
from .keys import IndexKeys
from .operation import Call, Operation, Reply, names

MIN_AGE_MS: Final = 3_600_000
"""Age of the notes that may be removed. A session must be created within this time after its note was written."""

RECHECK_MS: Final = 6 * 3_600_000
"""Time after which a check of a user's notes is repeated while some remain."""

NOTE = Operation("note", names("notes noted"), names("user bucket age"), s.DONE, retryable=True, durable=True)
NOTES = Operation("notes", names("notes"), (), s.DONE, read_only=True, retryable=True, needs_index=True)
FORGET = Operation("forget", names("notes noted"), names("user recheck rest"), s.DONE, retryable=True, needs_index=True)


def note(home: IndexKeys, sandbox_id: str, user: int, bucket: int) -> Call:
    """Write or refresh the note that the user with this hash may have strays in a bucket. `home` is the home bucket."""
    return Call(NOTE, (home.notes(user), home.noted), (_member(sandbox_id, user), b"%02x" % bucket, MIN_AGE_MS))


def notes(home: IndexKeys, user: int | str) -> Call:
    """Read the server's time and the notes about the user with this hash."""
    return Call(NOTES, (home.notes(user),), ())


def forget(home: IndexKeys, sandbox_id: str, user: int | str, old: Sequence[tuple[int, int]]) -> Call:
    """Remove notes, each given as its bucket and the time of its latest refresh (ms), if it was not refreshed since.

    The notes that remain are due for another check after RECHECK_MS.
    """
    rest = [part for bucket, refreshed in old for part in (b"%02x" % bucket, refreshed)]
    return Call(FORGET, (home.notes(user), home.noted), (_member(sandbox_id, user), RECHECK_MS, *rest))


def refreshed_of(reply: Reply) -> dict[int, int]:
    """Return the buckets in a reply of NOTES with the times (ms) of their latest refresh."""
    flat = reply[2]
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {bucket: _ms(refreshed) for name, refreshed in pairs if (bucket := ids.bucket_of(name)) is not None}


def old_of(reply: Reply) -> list[tuple[int, int]]:
    """Return the notes in a reply of NOTES that may be removed: buckets with the times (ms) of their latest refresh."""
    return [note for note in refreshed_of(reply).items() if note[1] <= reply[1] - MIN_AGE_MS]


def _ms(score: bytes) -> int:
    """Return a time in ms. A score that `note` would not write counts as recent, so that the note stays."""
    return int(score) if score.isdigit() else LATEST_MS


def parse_noted(entry: bytes) -> tuple[str, str] | None:
    """Return sandbox and hash of the user of an entry in the index of users with notes, or None for another text."""
    sandbox_id, _, user = entry.decode("ascii", "replace").rpartition("/")
    return (sandbox_id, user) if ids.is_name(sandbox_id) and user.isdecimal() and user.isascii() else None


def _member(sandbox_id: str, user: int | str) -> bytes:
    return f"{sandbox_id}/{user}".encode()
