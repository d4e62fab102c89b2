"""The examination of stored data: records, their index entries, and notes. Nothing is written.

Records change meanwhile. A trouble therefore counts only if further looks find it, too, and if the session of a
record was the same at the end of each look: others may be created under its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from ..core import ids, keys, note_operations
from ..core.durations import LATEST_MS
from ..core.inspection import RefusedError, UnansweredError
from ..core.record import Record, fields_of
from ..core.values import CodecFactory
from ..exceptions import CorruptRecordError, KeyUnavailableError
from . import layout
from .keyspace import Keyspace, OnProgress
from .layout import KeyName
from .rights import TRIAL_SANDBOX
from .troubles import Tally, Trouble

_PAGE = 200
"""Entries of an index that are examined concurrently, and of each index in a sample."""

_CONCURRENT_KEYS = 50
"""Keys that are examined concurrently. More would hold the event loop for too long."""

Entry = tuple[bytes, float]
"""A member of an index and its score."""
_PAUSES = (0.0, 0.01, 0.05)
"""Seconds before each of the further looks that must confirm a trouble. Different ones do not keep step with a caller
that creates and deletes sessions under the same id all the time.
"""
_CLOCK_ERROR_MS = 1_000
"""How far the known time of a server may be off. The record of an entry that expires now may have expired before."""

_IDENTITY = (b"c", b"u", b"h", b"s")
"""The fields of a record that stay while a session has its id."""

Troubles = set[tuple[Trouble, str]]
Look = Callable[[], Awaitable[Troubles]]
NowMs = Callable[[str], int]
"""A function that returns the time of the server that has a key, in ms since 1970."""


class Examiner:
    """An examiner of the keys of a store.

    Attributes:
        tally: what it has found.

    """

    def __init__(self, keyspace: Keyspace, codec: CodecFactory, now_ms: NowMs, *, complete: bool) -> None:
        self.tally = Tally(complete=complete)
        self._ask, self._pages = keyspace.ask, keyspace.pages
        self._codec = codec
        self._now_ms = now_ms
        self._complete = complete
        self.record_keys: list[str] = []

    async def walk(self, sandbox_id: str | None, sample: int | None, on_progress: OnProgress) -> None:
        """Examine the keys of a sandbox, or of all."""
        async for page in self._pages(layout.pattern(sandbox_id), sample, on_progress):
            found = list(set(page))
            for first in range(0, len(found), _CONCURRENT_KEYS):
                await asyncio.gather(*(self._key(key) for key in found[first : first + _CONCURRENT_KEYS]))

    async def _key(self, key: bytes) -> None:
        self.tally.keys += 1
        name = layout.parse(key)
        if name is None:
            self.tally.add(Trouble.FOREIGN, key.decode("utf-8", "backslashreplace"))
            return
        if name.sandbox_id == TRIAL_SANDBOX:
            return
        try:
            if name.kind == "s":
                self.tally.records += 1
                if len(self.record_keys) < _PAGE:
                    self.record_keys.append(name.key)
                self._add(await self._confirmed(lambda: self._record(name)))
            else:
                await self._other(name)
        except (RefusedError, UnansweredError) as failure:
            self.tally.skipped += 1
            self.tally.refusal = self.tally.refusal or str(failure)

    def _add(self, troubles: Troubles) -> None:
        for trouble, example in sorted(troubles, key=lambda found: (found[0].name, found[1])):
            self.tally.add(trouble, example)

    async def _confirmed(self, look: Look) -> Troubles:
        """Return the troubles that each of several looks finds."""
        found = await look()
        for pause in _PAUSES:
            if found:
                await asyncio.sleep(pause)
                found &= await look()
        return found

    # Records

    async def _record(self, name: KeyName) -> Troubles:
        handle = name.rest.encode("utf-8", "replace")
        if not ids.is_handle(handle):
            return {(Trouble.FOREIGN, name.key)}
        example = ids.reference(name.bucket, handle)
        try:
            flat = await self._ask("HGETALL", name.key)
        except RefusedError as refused:
            if refused.code != "WRONGTYPE":
                raise
            return {(Trouble.RECORD, example)}
        fields = fields_of(flat)
        if not fields:
            return set()
        if b"r" in fields:
            return await self._pointer(name, fields, example)
        record, found = None, set()
        try:
            record = Record.from_reply(flat, self._codec(name.sandbox_id))
            record.to_listed(example)
        except KeyUnavailableError as error:
            self.tally.reason = self.tally.reason or str(error)
            found = {(Trouble.LOCKED, example)}
        except CorruptRecordError:
            found = {(Trouble.RECORD, example)}
        found |= await self._of_record(name, handle, fields, record, example)
        return found if not found or await self._is_same(name, fields) else set()

    async def _is_same(self, name: KeyName, fields: dict[bytes, bytes]) -> bool:
        """Return whether a record still belongs to the session with these fields, and not to a later one."""
        later = fields_of(await self._ask("HGETALL", name.key))
        return all(later.get(field) == fields.get(field) for field in _IDENTITY)

    async def _pointer(self, name: KeyName, fields: dict[bytes, bytes], example: str) -> Troubles:
        """Examine the record of a rotated id."""
        found = await self._without_expiry(name, example)
        try:
            keys.session_keys_for_pointer(name.sandbox_id, name.bucket, fields[b"r"])
            int(fields[b"d"])
        except (KeyError, ValueError):
            found = {(Trouble.RECORD, example)}
        return found

    async def _of_record(
        self, name: KeyName, handle: bytes, fields: dict[bytes, bytes], record: Record | None, example: str
    ) -> Troubles:
        """Compare a record with its index entries. `record` is None if it cannot be read."""
        index = keys.index(name.sandbox_id, name.bucket)
        deadline, user, without_expiry = await asyncio.gather(
            self._ask("ZSCORE", index.deadlines, handle),
            self._ask("ZSCORE", index.users, handle),
            self._without_expiry(name, example),
        )
        if record is not None and record.expiry <= self._now_ms(name.key):
            return without_expiry  # it is invalid, and the server removes it
        found: Troubles = set()
        if without_expiry and (record is None or record.deadline < LATEST_MS):
            found |= without_expiry
        if deadline is None:
            found.add((Trouble.NOT_LISTED, example))
        elif (b"u" in fields or b"h" in fields) and user is None:
            found.add((Trouble.NOT_OF_USER, example))
        elif record is not None and record.user_id is not None:
            found |= await self._owned(name, record.user_id, float(user), example)
        return found

    async def _owned(self, name: KeyName, user_id: str, score: float, example: str) -> Troubles:
        """Examine whether the user's sessions, as lists and revocations find them, include this one."""
        scores = [form.score for form in self._codec(name.sandbox_id).owner(user_id).forms()]
        if score not in scores:
            return {(Trouble.NOT_OF_USER, example)}
        home = ids.home_bucket(name.sandbox_id, user_id)
        if home == name.bucket:
            return set()
        index, note = keys.index(name.sandbox_id, home), b"%02x" % name.bucket
        notes = await asyncio.gather(*(self._ask("ZSCORE", index.notes(score), note) for score in scores))
        return {(Trouble.NO_NOTE, example)} if all(found is None for found in notes) else set()

    async def _without_expiry(self, name: KeyName, example: str) -> Troubles:
        return {(Trouble.NO_EXPIRY, example)} if await self._ask("PTTL", name.key) == -1 else set()

    # Indexes and other keys

    async def _other(self, name: KeyName) -> None:
        kind = (await self._ask("TYPE", name.key)).decode()
        if kind not in ("none", layout.TYPES[name.kind]):
            self.tally.add(Trouble.TYPE, name.key)
        elif name.kind in ("o", "c", "p", "a"):
            self._add(await self._confirmed(lambda: self._without_expiry(name, name.key)))
        elif name.kind == "n":
            member = f"{name.sandbox_id}/{name.rest}".encode()
            self._add(await self._confirmed(lambda: self._unlisted(name, keys.noted(name.bucket), member)))
        elif name.kind == "noted":
            async for entries in self._entries(name):
                broken = [member for member, _ in entries if note_operations.parse_noted(member) is None]
                self._add({(Trouble.ENTRY, _shown(name, member)) for member in broken})
        elif name.kind in ("deadlines", "users"):
            await self._index(name)

    async def _index(self, name: KeyName) -> None:
        """Examine the entries of an index of sessions, and whether a sweep knows its sandbox."""
        async for entries in self._entries(name):
            suspects = await self._suspects(name, entries)
            looks = [self._confirmed(_bound(self._entry, name, *entry)) for entry in suspects]
            for troubles in await asyncio.gather(*looks):
                self._add(troubles)
        if name.kind == "deadlines":
            member = name.sandbox_id.encode()
            self._add(await self._confirmed(lambda: self._unlisted(name, keys.sandboxes(name.bucket), member)))

    async def _suspects(self, name: KeyName, entries: list[Entry]) -> list[Entry]:
        """Return the entries that need a closer look. One query shows that most pages have none."""
        index, now = keys.index(name.sandbox_id, name.bucket), self._now_ms(name.key)
        strange = [entry for entry in entries if not ids.is_handle(entry[0])]
        named = [entry for entry in entries if ids.is_handle(entry[0])]
        if name.kind == "users" and named:
            scores = await self._ask("ZMSCORE", index.deadlines, *(member for member, _ in named))
            named = [entry for entry, score in zip(named, scores, strict=True) if score is None]
        elif name.kind == "deadlines":
            named = [entry for entry in named if entry[1] > now + _CLOCK_ERROR_MS]
            records = [index.records + member.decode() for member, _ in named]
            if not records or await self._ask("EXISTS", *records) == len(records):
                named = []
        return strange + named

    async def _entry(self, name: KeyName, member: bytes, score: float) -> Troubles:
        if not ids.is_handle(member):
            return {(Trouble.ENTRY, _shown(name, member))}
        index, example = keys.index(name.sandbox_id, name.bucket), _shown(name, member)
        if name.kind == "users":
            if not await self._is_gone(index, member) or await self._ask("ZSCORE", index.users, member) is None:
                return set()
            # A session that was created under the same id in between has an entry of its own.
            return {(Trouble.NO_SESSION, example)} if await self._is_gone(index, member) else set()
        late = score <= self._now_ms(name.key) + _CLOCK_ERROR_MS
        if late or await self._ask("EXISTS", index.records + member.decode()):
            return set()
        # The entry of a later session under the same id has another score.
        still = await self._ask("ZSCORE", index.deadlines, member)
        return {(Trouble.NO_RECORD, example)} if still is not None and float(still) == score else set()

    async def _is_gone(self, index: keys.IndexKeys, member: bytes) -> bool:
        """Return whether a session has neither a deadline nor a record. One without a deadline is another trouble."""
        if await self._ask("ZSCORE", index.deadlines, member) is not None:
            return False
        return not await self._ask("EXISTS", index.records + member.decode())

    async def _unlisted(self, name: KeyName, index: str, member: bytes) -> Troubles:
        """Examine whether the index that sweeps read has an entry for a key that exists."""
        listed = await self._ask("ZSCORE", index, member)
        exists = listed is None and await self._ask("EXISTS", name.key)
        return {(Trouble.NOT_SWEPT, name.key)} if exists else set()

    async def _entries(self, name: KeyName) -> AsyncIterator[list[Entry]]:
        """Yield the entries of an index in pages; for a sample, only the first page."""
        first = 0
        while True:
            flat = await self._ask("ZRANGE", name.key, first, first + _PAGE - 1, "WITHSCORES")
            entries = [(member, float(score)) for member, score in zip(flat[::2], flat[1::2], strict=True)]
            self.tally.entries += len(entries)
            yield entries
            first += _PAGE
            if len(entries) < _PAGE or not self._complete:
                return


def _bound(look: Callable[..., Awaitable[Troubles]], *args: object) -> Look:
    return lambda: look(*args)


def _shown(name: KeyName, member: bytes) -> str:
    return f"{member[:60].decode('utf-8', 'backslashreplace')} in {name.key}"
