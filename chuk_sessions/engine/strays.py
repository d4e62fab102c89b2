"""Strays: sessions that are not in their user's home bucket, and the notes with which the home bucket finds them.

A note names a bucket that may have strays of a user. It is written before the stray is created, so the notes may name
too many buckets, but never too few. It is removed when that bucket has no session of the user, and only if it is an
hour old: by then, every session that was to be created after the note exists.

Rotation leaves a stray in its bucket, where one step replaces the id in the index, so the note still holds. Every other
move of a session leads to its user's home bucket, which needs no note.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from .. import exceptions as errors
from ..core import ids, index_operations, keys, note_operations
from ..core.index_operations import Cursor
from ..core.keys import IndexKeys
from ..core.operation import Call, Reply
from .executor import Executor
from .paging import Pages

_CONCURRENT_USERS = 64
"""Users whose notes are checked concurrently. Each may have a note for every bucket."""


class StrayNotes:
    """The notes about strays of one sandbox."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._sandbox = executor.sandbox_id

    def is_stray(self, user_id: str | None, bucket: int) -> bool:
        """Return whether a session of this user is a stray in this bucket. A guest's session never is."""
        return user_id is not None and bucket != ids.home_bucket(self._sandbox, user_id)

    def home(self, user_id: str) -> IndexKeys:
        """Return the index of the user's home bucket."""
        return keys.index(self._sandbox, ids.home_bucket(self._sandbox, user_id))

    async def note(self, user_id: str | None, bucket: int) -> None:
        """Write or refresh the note about a bucket, if a session of this user is a stray there.

        Raises SessionUnavailableError if the outcome is unknown: no session was created, and a repeat is harmless.
        """
        if user_id is None or not self.is_stray(user_id, bucket):
            return
        user = self._executor.values.owner(user_id).form.score
        call = note_operations.note(self.home(user_id), self._sandbox, user, bucket)
        try:
            await self._executor.execute_until_known(call)
        except errors.OutcomeUnknownError as error:
            raise errors.SessionUnavailableError(f"no session was created: {error}") from error

    def read_calls(self, user_id: str) -> list[Call]:
        """Return the calls that read the notes about a user's strays: one for each form of the user."""
        scores = dict.fromkeys(self._executor.values.owner(user_id).search_order())
        return [note_operations.notes(self.home(user_id), score) for score in scores]

    def noted(self, user_id: str, replies: Sequence[Reply]) -> set[int]:
        """Return the buckets in which the user may have strays, from the replies to `read_calls`."""
        buckets = {bucket for reply in replies for bucket in note_operations.refreshed_of(reply)}
        return buckets - {self.home(user_id).bucket}

    async def clean(self, *, all_sandboxes: bool) -> None:
        """Remove the old notes about buckets that have no strays left, of this sandbox or of all."""
        pages = Pages(self._executor, _due)
        while replies := await pages.next():
            parsed = ((b, note_operations.parse_noted(entry)) for b, reply in replies for entry in reply[1])
            due = (_Noted(keys.index(found[0], b), *found) for b, found in parsed if found is not None)
            wanted = (user for user in due if all_sandboxes or user.sandbox_id == self._sandbox)
            while part := list(islice(wanted, _CONCURRENT_USERS)):
                await self._check(part)

    async def _check(self, users: Sequence[_Noted]) -> None:
        """Remove the old notes of users whose strays are gone."""
        replies = await self._executor.execute_all([note_operations.notes(user.home, user.user) for user in users])
        found = [(user, note_operations.old_of(reply)) for user, reply in zip(users, replies, strict=True)]
        calls = [
            index_operations.find(user.stray_index(bucket), int(user.user), 1)
            for user, old in found
            for bucket, _ in old
        ]
        listed = iter(await self._executor.execute_all(calls))
        empty = [(user, [note for note in old if not next(listed)[1]]) for user, old in found]
        await self._executor.execute_all(
            [note_operations.forget(user.home, user.sandbox_id, user.user, old) for user, old in empty]
        )


class _Noted(NamedTuple):
    """A user that has notes: the home bucket's index, the sandbox, and the user's hash."""

    home: IndexKeys
    sandbox_id: str
    user: str

    def stray_index(self, bucket: int) -> IndexKeys:
        """Return the index of a bucket that may have strays."""
        return keys.index(self.sandbox_id, bucket)


def _due(bucket: int, limit: int, after: Cursor) -> Call:
    return index_operations.due(keys.noted(bucket), limit, after)
