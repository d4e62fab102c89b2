"""Troubles: what can be wrong with stored data, with its meaning and remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from .finding import Finding, Level, Verdict, ok, unknown

CORRUPT: Final = "corrupt"
ORPHANS: Final = "orphans"
UNDECRYPTABLE: Final = "undecryptable"
CHECKS: Final = (CORRUPT, ORPHANS, UNDECRYPTABLE)

_EXAMPLES = 3
_LONGEST = 200
"""Characters of an example. Keys of this library are shorter, and a key of another program can have megabytes."""

_REVOKE = (
    "Revoke each of them, which works without reading the record: `chuk-sessions --sandbox NAME revoke --session "
    "REFERENCE --yes`."
)
_REMOVE_ENTRY = (
    "To remove one at once, run `ZREM INDEX ENTRY` with the index of the example, and with the index `users` or "
    "`deadlines` beside it."
)
_CAUSE = (
    "Then look for the cause: another program that writes keys with the prefix chuk1, eviction, a restored backup of a "
    "part of the keys, or keys that somebody edited or deleted."
)


class _Meaning(NamedTuple):
    check: str
    level: Level
    found: str
    advice: str


class Trouble(Enum):
    """The kinds of damage."""

    RECORD = _Meaning(
        CORRUPT,
        Level.PROBLEM,
        "records lack a required field, or have a value or a type that this library does not write: every use of "
        "these sessions raises CorruptRecordError",
        f"{_REVOKE} {_CAUSE}",
    )
    TYPE = _Meaning(
        CORRUPT,
        Level.PROBLEM,
        "indexes or other shared keys have another type than this library gives them: calls that use them raise "
        "CorruptRecordError",
        f"Look at each with `TYPE` and delete it with `DEL`. Sessions in an index that is deleted are missing in lists "
        f"afterwards, so their users have to log in again. {_CAUSE}",
    )
    ENTRY = _Meaning(
        CORRUPT,
        Level.WARNING,
        "index entries do not name a session: lists and sweeps leave them out",
        f"Remove each with `ZREM`. {_CAUSE}",
    )
    FOREIGN = _Meaning(
        CORRUPT,
        Level.WARNING,
        "keys with the prefix chuk1 are unknown to this version of the library",
        "If a newer version of the library runs elsewhere, run its doctor. Otherwise, another program uses the prefix: "
        "let it use another one.",
    )
    NO_RECORD = _Meaning(
        ORPHANS,
        Level.WARNING,
        "index entries have no record, although their sessions have not expired: these users were logged out, and "
        "lists and counts still have the sessions",
        "This is what eviction leaves: see the check `eviction`. Otherwise, something deleted records without the "
        f"library. A sweep removes each entry when its session would have expired. {_REMOVE_ENTRY}",
    )
    NOT_LISTED = _Meaning(
        ORPHANS,
        Level.PROBLEM,
        "live sessions are missing in the index of their sandbox: they are valid, but no list, count, or revocation of "
        "a user's sessions finds them",
        f"{_REVOKE} {_CAUSE}",
    )
    NOT_OF_USER = _Meaning(
        ORPHANS,
        Level.PROBLEM,
        "live sessions are missing in the index of their users, or are listed under another user: a revocation of all "
        "sessions of the user leaves them alive",
        f"{_REVOKE} If encryption was switched on or off, or its key `index` changed, run `python -m "
        f"chuk_sessions.encryption reencrypt` instead. {_CAUSE}",
    )
    NO_NOTE = _Meaning(
        ORPHANS,
        Level.PROBLEM,
        "live sessions under ids of your own are outside of the home bucket of their user, and no note leads to them: "
        "a list or revocation of the user's sessions does not find them",
        f"{_REVOKE} A failover can lose a note: SESSION_REDIS_WAIT_REPLICAS=1 prevents that.",
    )
    NO_SESSION = _Meaning(
        ORPHANS,
        Level.WARNING,
        "entries in the index of users belong to no session, and no sweep removes them",
        f"{_REMOVE_ENTRY} {_CAUSE}",
    )
    NOT_SWEPT = _Meaning(
        ORPHANS,
        Level.WARNING,
        "indexes of sandboxes, or notes about strays, are unknown to a sweep of all sandboxes, and so are not cleaned",
        "Run `chuk-sessions --sandbox NAME sweep` for each of these sandboxes from time to time. The next session that "
        f"is created in a bucket enters its sandbox again. {_CAUSE}",
    )
    NO_EXPIRY = _Meaning(
        ORPHANS,
        Level.WARNING,
        "keys that should expire have no TTL, so the server keeps them",
        f"Set one with `PEXPIRE`, or revoke the session. {_CAUSE}",
    )
    LOCKED = _Meaning(
        UNDECRYPTABLE,
        Level.PROBLEM,
        "records cannot be read with the keys that the doctor has: calls raise KeyUnavailableError",
        "If the application has more keys, run the doctor with the same SESSION_ENCRYPTION_KEYS. Otherwise, add the "
        "missing key to the keys of all processes; docs/encryption.md has the procedure. If the key is lost, so are "
        "the sessions: revoke them.",
    )

    @property
    def meaning(self) -> _Meaning:
        """The check that it belongs to, its level, and the texts of its finding."""
        return self.value


@dataclass(slots=True)
class _Seen:
    number: int = 0
    examples: list[str] = field(default_factory=list)


class Tally:
    """The number of troubles of each kind, with examples.

    Attributes:
        records, entries: how many records and index entries were examined.
        keys: how many keys were found.
        skipped: how many of them could not be examined.
        refusal: why the first of these could not be examined.
        complete: whether all keys were examined.
        reason: why the first undecryptable record could not be read.

    """

    def __init__(self, *, complete: bool) -> None:
        self.records = self.entries = self.keys = self.skipped = 0
        self.refusal = ""
        self.complete = complete
        self.reason = ""
        self._seen: dict[Trouble, _Seen] = {}

    def add(self, trouble: Trouble, example: str) -> None:
        """Count a trouble. `example` is a reference or a key, and never an id."""
        seen = self._seen.setdefault(trouble, _Seen())
        seen.number += 1
        if len(seen.examples) < _EXAMPLES:
            seen.examples.append(example if len(example) <= _LONGEST else f"{example[:_LONGEST]}...")

    def findings(self) -> Iterator[Finding]:
        """Yield a finding for each kind of trouble, and for each check without any."""
        for check in CHECKS:
            found = [trouble for trouble in Trouble if trouble.meaning.check == check and trouble in self._seen]
            for trouble in found:
                yield self._finding(trouble, self._seen[trouble])
            if not found:
                yield self._nothing().on(check)

    def _nothing(self) -> Verdict:
        if self.skipped > self.keys // 2:
            return unknown(
                f"{self.skipped:,} of {self.keys:,} keys could not be read: {self.refusal}",
                "Add +@read ~chuk1:* to the rights of this user, or run the doctor again when all primaries answer and "
                "no slots are moved.",
            )
        return ok(f"none among {self._examined()}")

    def _finding(self, trouble: Trouble, seen: _Seen) -> Finding:
        check, level, found, advice = trouble.meaning
        reason = f" ({self.reason})" if trouble is Trouble.LOCKED else ""
        more = ", ..." if seen.number > len(seen.examples) else ""
        text = f"{found[0].upper()}{found[1:]}{reason}. {seen.number:,} found: {', '.join(seen.examples)}{more}. "
        text += f"Examined: {self._examined()}"
        return Verdict(level, text, advice).on(check)

    def _examined(self) -> str:
        scope = "all " if self.complete else "a sample of "
        skipped = f" ({self.skipped:,} keys could not be read)" if self.skipped else ""
        return f"{scope}{self.records:,} records and {self.entries:,} index entries{skipped}"
